//! Endpoints that a file names.

use std::{
    fmt, fs,
    io::{self, Read},
    path::Path,
};

use serde::Deserialize;

use super::{Change, Discovery, Source};
use crate::settings::{Beside, Problem, Problems, upstream::ServerUrl};

/// Why a file changes nothing.
#[derive(Debug)]
pub enum Unread {
    /// It is not there, or not yet: what is missing, in words.
    Missing(String),
    /// What is wrong with it.
    Wrong(Problems),
}

/// What a file says.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Servers {
    servers: Vec<ServerUrl>,
}

/// Larger is no list of endpoints.
const MOST_BYTES: u64 = 1 << 20;
/// So many endpoints at most.
const MOST_SERVERS: usize = 1024;

impl Discovery {
    /// The servers that its file names are the endpoints from now on. Says what is otherwise.
    ///
    /// # Errors
    /// Why they cannot be; then those before stay.
    pub fn read_file(&self) -> Result<Option<Change>, Unread> {
        let Source::File(path) = &self.source else { return Ok(None) };
        let file = Beside::read(&path.display().to_string(), &self.bytes(path)?).map_err(Unread::Wrong)?;
        self.take(&file).map_err(Unread::Wrong)
    }

    fn bytes(&self, path: &Path) -> Result<Vec<u8>, Unread> {
        let at = |what: String| Problem::at(["upstreams", &self.upstream.name, "discover", "file"], what);
        let shown = path.display();
        let cannot = |error: io::Error| {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir());
            match (error.kind(), folder) {
                (io::ErrorKind::NotFound, None) => Unread::Missing(format!("there is no file `{shown}`")),
                (io::ErrorKind::NotFound, Some(folder)) => {
                    Unread::Missing(format!("there is no folder `{}` for `{shown}`", folder.display()))
                }
                _ => Unread::Wrong(at(format!("`{shown}` cannot be read: {error}")).into()),
            }
        };
        // What is no file, such as a pipe, might never end.
        if !fs::metadata(path).map_err(cannot)?.is_file() {
            return Err(Unread::Wrong(at(format!("`{shown}` is no file")).into()));
        }
        let mut bytes = Vec::new();
        fs::File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes)).map_err(cannot)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(Unread::Wrong(at(format!("`{shown}` is larger than {MOST_BYTES} bytes")).into()));
        }
        Ok(bytes)
    }

    fn take(&self, file: &Beside<Servers>) -> Result<Option<Change>, Problems> {
        let servers = &file.written.servers;
        let wrong = |what: String| file.locate(Problem::at(["servers"], what));
        match servers.len() {
            0 => {
                let example = "servers = [\"http://127.0.0.1:8000\"]";
                return Err(wrong("it names no servers".into()).help(example).into());
            }
            count if count > MOST_SERVERS => {
                return Err(wrong(format!("it names {count} servers, and {MOST_SERVERS} are the most")).into());
            }
            _ => {}
        }
        let mut state = self.state();
        if state.servers == *servers {
            return Ok(None);
        }
        let before = self.upstream.members();
        let members = self.recipe.written(servers, Some(&before)).map_err(|problems| self.in_file(file, problems))?;
        let change = Change::between(&before, &members);
        self.upstream.replace(members);
        state.servers.clone_from(servers);
        Ok(Some(change))
    }

    /// What is wrong with servers stands in the file; with what else they have in common, in the settings.
    fn in_file(&self, file: &Beside<Servers>, problems: Problems) -> Problems {
        let in_file = |problem: Problem| match &problem.key[..] {
            [upstreams, name, servers, ..]
                if upstreams == "upstreams" && **name == *self.upstream.name && servers == "servers" =>
            {
                let key = problem.key[2..].to_vec();
                file.locate(Problem { key, ..problem })
            }
            _ => problem,
        };
        Problems(problems.0.into_iter().map(in_file).collect())
    }
}

impl Unread {
    /// As it is told to people, with the lines that are wrong.
    pub fn render(&self) -> String {
        match self {
            Self::Missing(what) => what.clone(),
            Self::Wrong(problems) => format!("\n{}", problems.render(false)),
        }
    }
}

/// In one line.
impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems = match self {
            Self::Missing(what) => return f.write_str(what),
            Self::Wrong(Problems(problems)) => problems,
        };
        for (number, Problem { place, what, .. }) in problems.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { "; " })?;
            if let Some(place) = place {
                write!(f, "{place}: ")?;
            }
            f.write_str(what)?;
        }
        Ok(())
    }
}
