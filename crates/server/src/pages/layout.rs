//! What surrounds each page: who is signed in, and the way to the other pages.

use super::shown::Shown;

/// A page that the others lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// What waits for an answer.
    Requests,
    /// What was said yes to.
    Grants,
    /// What nobody honest causes.
    Alarms,
    /// A device that asks to join.
    Device,
    /// The caller's own web logins and passkeys.
    Account,
}

impl Place {
    /// All of them, as they stand in the navigation.
    pub(crate) const ALL: [Self; 5] = [
        Self::Requests,
        Self::Grants,
        Self::Alarms,
        Self::Device,
        Self::Account,
    ];

    /// Where it is.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Requests => "/requests",
            Self::Grants => "/grants",
            Self::Alarms => "/alarms",
            Self::Device => "/device",
            Self::Account => "/account",
        }
    }

    /// What it is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Requests => "Requests",
            Self::Grants => "Grants",
            Self::Alarms => "Alarms",
            Self::Device => "Device",
            Self::Account => "Account",
        }
    }
}

/// Who looks, and from where.
pub(crate) struct Frame {
    /// The name of who is signed in.
    pub(crate) who: Option<Shown>,
    /// The page of the navigation that it belongs to.
    pub(crate) here: Option<Place>,
    /// What each form on the page carries back.
    pub(crate) csrf: String,
}

impl Frame {
    /// Of a page for whoever it may be.
    pub(crate) const fn of_nobody() -> Self {
        Self::before_sign_in(String::new())
    }

    /// Of a page with a form for whoever it may be.
    pub(crate) const fn before_sign_in(csrf: String) -> Self {
        Self {
            who: None,
            here: None,
            csrf,
        }
    }

    /// Where the page of the navigation is.
    pub(crate) fn path(&self) -> &'static str {
        self.here.map_or("/", Place::path)
    }

    /// The pages that this one leads to, and whether it is one of them.
    pub(crate) fn places(&self) -> impl Iterator<Item = (Place, bool)> {
        let here = self.here;
        Place::ALL
            .into_iter()
            .map(move |place| (place, here == Some(place)))
    }
}
