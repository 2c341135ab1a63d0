//! Journeys: awc transport.
