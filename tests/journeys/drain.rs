//! Journeys: drain.
