//! Journeys: access log.
