//! Journeys: errors.
