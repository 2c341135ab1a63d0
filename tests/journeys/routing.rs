//! Journeys: routing.
