//! Problems as people read them: the line, the place in it, what is wrong and how to mend it.

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

use super::{
    problem::{Place, Problem, Problems, Spot, name},
    secrecy::without_user_info,
};

impl Problems {
    /// All of them as text, each with the line it stands on; `color` for a terminal.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let problems = self.0.iter().map(|problem| renderer.render(&report(problem)) + "\n");
        problems.collect::<Vec<_>>().join("\n")
    }
}

fn report(problem: &Problem) -> Vec<Group<'_>> {
    let mut problem_itself = Group::with_title(Level::ERROR.primary_title(without_user_info(&problem.what)));
    let help = problem.help.as_deref().map(without_user_info);
    match &problem.place {
        Some(Place::File(spot)) => {
            let mut mark = AnnotationKind::Primary.span(spot.mark.clone());
            if let Some(help) = help {
                mark = mark.label(help);
            }
            problem_itself = problem_itself.elements(excerpt(spot, mark));
        }
        place => {
            let place = match place {
                // Code has no lines that could be shown: the key is all there is to find it by.
                None | Some(Place::Code) if !problem.key.is_empty() => {
                    Some(without_user_info(&name(&problem.key)).into_owned())
                }
                place => place.as_ref().map(Place::to_string),
            };
            problem_itself = problem_itself.elements(place.map(Origin::path));
            problem_itself = problem_itself.elements(help.map(|help| Level::HELP.message(help)));
        }
    }
    let mut report = vec![problem_itself];
    for related in &problem.related {
        let group = Group::with_title(Level::NOTE.secondary_title(without_user_info(&related.what)));
        report.push(match &related.place {
            Some(Place::File(spot)) => group.elements(excerpt(spot, AnnotationKind::Context.span(spot.mark.clone()))),
            place => group.elements(place.iter().map(|place| Origin::path(place.to_string()))),
        });
    }
    report
}

fn excerpt<'a>(spot: &'a Spot, mark: annotate_snippets::Annotation<'a>) -> Vec<Element<'a>> {
    let snippet = Snippet::source(spot.text.as_str()).line_start(spot.line).annotation(mark);
    let shown_at = spot.text[..spot.mark.start].chars().count() + 1;
    if shown_at == spot.column {
        return vec![snippet.path(spot.path.as_str()).into()];
    }
    // A hidden secret has moved what stands behind it: then the column is what the file says, not what is shown.
    vec![Origin::path(spot.path.as_str()).line(spot.line).char_column(spot.column).into(), snippet.into()]
}
