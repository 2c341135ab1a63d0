//! Journeys: intake.
