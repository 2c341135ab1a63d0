//! Journeys: endpoint exchange.
