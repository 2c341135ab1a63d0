//! Journeys: tunnels.
