//! How settings name a filter or a balancer: two tables that can be read.
