//! Journeys: passing.
