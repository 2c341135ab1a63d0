//! Settings as operators meet them: layers, what is said of bad ones, and what is shown of good ones.

mod access;
mod bad;
mod layers;
mod planned;
mod properties;
mod samples;
mod shown;
