//! Journeys: pooling.
