//! Journeys: edge limits.
