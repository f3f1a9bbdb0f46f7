//! Whom people are told by, and what waits to be told (ADR 40).

use crate::{ClientError, Query, SessionClient};
use http::Method;
use procura_types::wire::{
    Channel, ChannelList, ChannelPut, NotifyDeadDone, NotifyDeadList, NotifyDeadPick, NotifyQueue,
    NotifyRoute, NotifyRouteList, NotifyRoutePut,
};
use procura_types::{Label, Namespace};

/// Of a namespace, or of the installation.
fn of(namespace: Option<&Namespace>) -> Query {
    let query = Query::new();
    match namespace {
        Some(namespace) => query.with("namespace", namespace),
        None => query,
    }
}

impl SessionClient {
    /// The channels of a namespace, or of the installation.
    pub async fn notify_channels(
        &self,
        namespace: Option<&Namespace>,
    ) -> Result<ChannelList, ClientError> {
        let path = "/v1/notify/channels";
        self.call(Method::GET, path, &of(namespace), None::<&()>)
            .await
    }

    /// Makes a channel or replaces all of it.
    pub async fn put_notify_channel(
        &self,
        namespace: Option<&Namespace>,
        name: &Label,
        put: &ChannelPut,
    ) -> Result<Channel, ClientError> {
        let path = format!("/v1/notify/channels/{name}");
        self.by_key_asking(Method::PUT, &path, &of(namespace), Some(put))
            .await
    }

    /// Removes a channel and all that waits in it.
    pub async fn remove_notify_channel(
        &self,
        namespace: Option<&Namespace>,
        name: &Label,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/notify/channels/{name}");
        self.by_key_asking(Method::DELETE, &path, &of(namespace), None::<&()>)
            .await
    }

    /// Sends a message through a channel and waits for what its receiver says.
    pub async fn test_notify_channel(
        &self,
        namespace: Option<&Namespace>,
        name: &Label,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/notify/channels/{name}/test");
        self.call(Method::POST, &path, &of(namespace), None::<&()>)
            .await
    }

    /// The routes of a namespace, or of the installation.
    pub async fn notify_routes(
        &self,
        namespace: Option<&Namespace>,
    ) -> Result<NotifyRouteList, ClientError> {
        let path = "/v1/notify/routes";
        self.call(Method::GET, path, &of(namespace), None::<&()>)
            .await
    }

    /// Makes a route or replaces it.
    pub async fn put_notify_route(
        &self,
        namespace: Option<&Namespace>,
        name: &Label,
        put: &NotifyRoutePut,
    ) -> Result<NotifyRoute, ClientError> {
        let path = format!("/v1/notify/routes/{name}");
        self.by_key_asking(Method::PUT, &path, &of(namespace), Some(put))
            .await
    }

    /// Removes a route.
    pub async fn remove_notify_route(
        &self,
        namespace: Option<&Namespace>,
        name: &Label,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/notify/routes/{name}");
        self.by_key_asking(Method::DELETE, &path, &of(namespace), None::<&()>)
            .await
    }

    /// What waits, channel by channel.
    pub async fn notify_queue(
        &self,
        namespace: Option<&Namespace>,
    ) -> Result<NotifyQueue, ClientError> {
        let path = "/v1/notify/queue";
        self.call(Method::GET, path, &of(namespace), None::<&()>)
            .await
    }

    /// A page of the messages that were given up.
    pub async fn notify_dead(
        &self,
        namespace: Option<&Namespace>,
        after: Option<&str>,
    ) -> Result<NotifyDeadList, ClientError> {
        let query = match after {
            Some(after) => of(namespace).with("after", after),
            None => of(namespace),
        };
        self.call(Method::GET, "/v1/notify/dead", &query, None::<&()>)
            .await
    }

    /// Has messages tried again that were given up.
    pub async fn retry_notify_dead(
        &self,
        namespace: Option<&Namespace>,
        pick: &NotifyDeadPick,
    ) -> Result<NotifyDeadDone, ClientError> {
        let path = "/v1/notify/dead/retry";
        self.call(Method::POST, path, &of(namespace), Some(pick))
            .await
    }

    /// Forgets messages that were given up.
    pub async fn drop_notify_dead(
        &self,
        namespace: Option<&Namespace>,
        pick: &NotifyDeadPick,
    ) -> Result<NotifyDeadDone, ClientError> {
        let path = "/v1/notify/dead/drop";
        self.call(Method::POST, path, &of(namespace), Some(pick))
            .await
    }
}
