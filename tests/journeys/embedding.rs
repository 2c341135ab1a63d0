//! Journeys: embedding.
