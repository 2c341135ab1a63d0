//! One worker's counts.

use std::{
    cell::RefCell,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::page::Page;
use crate::exchange::Subject;

/// The pages of one worker, as whoever adds them up sees them. A page stays where it is.
#[derive(Debug, Default)]
pub struct Book(Mutex<Vec<Option<Arc<Page>>>>);

/// The same as the worker sees it: to count, it asks nobody.
pub struct Recorder {
    book: Arc<Book>,
    pages: RefCell<Vec<Option<Arc<Page>>>>,
}

impl Book {
    /// By the place of their subjects.
    pub fn pages(&self) -> MutexGuard<'_, Vec<Option<Arc<Page>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page at this place, which may have to be put there.
    fn page(&self, place: usize) -> Arc<Page> {
        let mut pages = self.pages();
        if pages.len() <= place {
            pages.resize(place + 1, None);
        }
        Arc::clone(pages[place].get_or_insert_default())
    }
}

impl Recorder {
    /// Of a book that nobody else writes to.
    pub(super) fn of(book: Arc<Book>) -> Self {
        Self { book, pages: RefCell::default() }
    }

    /// Does this with the page of a subject.
    pub(super) fn on_page<T>(&self, subject: Subject, work: impl FnOnce(&Page) -> T) -> T {
        let place = subject.0 as usize;
        if let Some(Some(page)) = self.pages.borrow().get(place) {
            return work(page);
        }
        let page = self.book.page(place);
        let mut pages = self.pages.borrow_mut();
        if pages.len() <= place {
            pages.resize(place + 1, None);
        }
        work(pages[place].insert(page))
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}
