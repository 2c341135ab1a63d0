//! Refuses what no route may see.
