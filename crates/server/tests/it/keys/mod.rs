//! Keys that agents fetch, and the end of the record, in the shapes of others.

mod audit;
mod callers;
mod edges;
mod honey;
mod scene;
mod shapes;
