//! One place decides. [`authorize`] turns a caller and an operation into a
//! [`Permit`], the only value that lets an effect run; everything else is
//! denied by default.
//!
//! The rule of each action is one line of one table ([`Action::rule`]); the
//! golden file `schema/permission-matrix.md` prints what that table yields for
//! every role.

mod action;
mod decider;
mod matrix;
mod permit;
mod resource;

pub use action::{Action, Rule, STEP_UP};
pub use decider::{
    Allowed, Basis, Claim, Counted, Decider, Denied, DenyReason, PolicyNames, PolicyRefusal,
    Question, RoleDecider, grade_of, roles_of,
};
pub use matrix::permission_matrix;
pub use permit::{Op, Permit, authorize};
pub use resource::{Concerned, GrantNeed, Resource, TokenNeed};
