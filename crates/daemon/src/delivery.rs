//! Values for one process: asked for, waited for, handed over.

use crate::attesting::attest_now;
use crate::children::Run;
use crate::connection::Connection;
use crate::member::{Member, Users};
use crate::socket::{ExecAsk, Pending, Reply};
use crate::{DaemonError, EnvValues, Peer, Service, ValuesError, caller, values};
use procura_client::ClientError;
use procura_types::wire::{RequestState, RunAnswer, RunPending, RunRequest, RunValues};
use procura_types::{Delivery, Namespace, ProjectName, RequestId};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a server that does not answer is asked again: a restart takes less.
const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often a request that waits is looked at.
const FIRST_LOOK: Duration = Duration::from_millis(500);
const RAREST_LOOK: Duration = Duration::from_secs(5);
/// What the API takes at once.
const NAMES_LIMIT: usize = 256;

impl Service {
    /// Fetches what `ask` wants and hands it to `peer`, or says why not. Values
    /// go over all together or not at all.
    pub(crate) async fn deliver(
        &self,
        peer: Peer,
        ask: &ExecAsk,
        connection: &Connection,
    ) -> Result<(), DaemonError> {
        if ask.names.len() > NAMES_LIMIT {
            return Err(DaemonError::Usage(format!(
                "{} names are asked for; at most {NAMES_LIMIT} can be",
                ask.names.len()
            )));
        }
        if !ask.delivery.is_of_a_run() {
            return Err(DaemonError::Usage(
                ValuesError::NoWay(ask.delivery).to_string(),
            ));
        }
        if ask.delivery == Delivery::Stdin && ask.names.len() != 1 {
            return Err(DaemonError::Usage(ValuesError::NotOne.to_string()));
        }
        let member = self.choose(
            Users::One(peer.uid()),
            ask.agent.as_deref(),
            ask.namespace.as_ref(),
        )?;
        let ended = self.deliver_as(&member, peer, ask, connection).await;
        match &ended {
            Err(DaemonError::Server(error)) if error.is_refusal("revoked") => {
                let now = self.clock.now();
                member.mark_revoked(Some(now), &self.store).await;
            }
            _ => {}
        }
        ended
    }

    async fn deliver_as(
        &self,
        member: &Arc<Member>,
        peer: Peer,
        ask: &ExecAsk,
        connection: &Connection,
    ) -> Result<(), DaemonError> {
        let report = caller::report(&peer, ask, self.is_same_uid(&peer)).await;
        let run = RunRequest {
            names: ask.names.clone(),
            delivery: ask.delivery,
            caller: Some(report),
        };
        let call = Call {
            service: self,
            member,
            project: &ask.project,
            run: &run,
        };
        let Some(answer) = call.start_when_open(ask.wait, connection).await? else {
            return Ok(());
        };
        match answer {
            RunAnswer::Values(values) => call.hand_over(values, peer, connection).await,
            RunAnswer::Pending(pending) if !ask.wait => {
                call.say_pending(pending, false, connection).await
            }
            RunAnswer::Pending(pending) => {
                let request = pending.request;
                call.say_pending(pending, true, connection).await?;
                tokio::select! {
                    decided = call.decided(request) => decided?,
                    // Ctrl-C: nobody is left to receive anything.
                    () = connection.gone() => return Ok(()),
                }
                let Some(answer) = call.start_when_open(true, connection).await? else {
                    return Ok(());
                };
                match answer {
                    RunAnswer::Values(values) => call.hand_over(values, peer, connection).await,
                    // Approved in part: the whole is asked for anew, and does
                    // not wait again by itself.
                    RunAnswer::Pending(pending) => {
                        call.say_pending(pending, false, connection).await
                    }
                }
            }
        }
    }
}

struct Call<'a> {
    service: &'a Service,
    member: &'a Arc<Member>,
    project: &'a ProjectName,
    run: &'a RunRequest,
}

impl Call<'_> {
    fn namespace(&self) -> &Namespace {
        &self.member.membership.namespace
    }

    /// Asks the server; whoever waits is answered when it is unsealed. Nothing
    /// when the client has gone meanwhile.
    async fn start_when_open(
        &self,
        wait: bool,
        connection: &Connection,
    ) -> Result<Option<RunAnswer>, DaemonError> {
        let mut pause = FIRST_LOOK;
        let mut told = false;
        loop {
            let answer = match self.start().await {
                Err(DaemonError::Server(error))
                    if wait && (error.is_refusal("sealed") || (told && is_passing(&error))) =>
                {
                    tracing::debug!(%error, "waiting for the vault to be opened");
                    None
                }
                other => Some(other?),
            };
            if answer.is_some() {
                return Ok(answer);
            }
            self.member.look_again().await;
            if !told {
                connection
                    .say(&Reply::Sealed {}, None)
                    .await
                    .map_err(|source| DaemonError::io("answer the client", source))?;
                told = true;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // Ctrl-C: nobody is left to receive anything.
                () = connection.gone() => return Ok(None),
            }
            pause = (pause * 3 / 2).min(RAREST_LOOK);
        }
    }

    /// Asks the server, again while it cannot be reached, within one patience.
    async fn start(&self) -> Result<RunAnswer, DaemonError> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.start_once().await {
                Err(DaemonError::Server(error)) if is_passing(&error) => error,
                other => return other,
            };
            // Whoever answers next may have been started from a backup.
            self.member.look_again().await;
            if began.elapsed() + pause > PATIENCE {
                return Err(error.into());
            }
            tracing::debug!(%error, "the server does not answer; trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn start_once(&self) -> Result<RunAnswer, DaemonError> {
        self.member.check_record(&self.service.store).await?;
        let mut asked = self.ask().await;
        let lacks = matches!(&asked, Err(error) if error.is_refusal("attestation_required"));
        // Its time may have come between one attempt and the next.
        if lacks && attest_now(self.member).await {
            asked = self.ask().await;
        }
        let answer = asked.map_err(|error| self.explained(error))?;
        // Should it have been called revoked, then not by its server.
        self.member.mark_revoked(None, &self.service.store).await;
        // The server may have asked for a new session on the way, as one put
        // back from a backup does.
        let checked = self.member.check_record(&self.service.store).await;
        if let (Err(_), RunAnswer::Values(values)) = (&checked, &answer) {
            self.not_handed_over(values);
        }
        checked.map(|()| answer)
    }

    async fn ask(&self) -> Result<RunAnswer, ClientError> {
        let server = &self.member.server;
        server
            .start_run(self.namespace(), self.project, self.run)
            .await
    }

    /// A project that maps nothing, and nothing was asked for by name: what to
    /// type stands with the project's own name.
    fn explained(&self, error: ClientError) -> DaemonError {
        if !self.run.names.is_empty() || !error.is_refusal("nothing_to_deliver") {
            return error.into();
        }
        let project = self.project;
        DaemonError::Reported {
            exit: DaemonError::from(error).exit(),
            code: "nothing_to_deliver".to_owned(),
            message: format!(
                "{project} maps no names; say which with --name STRIPE_KEY or --env-file .env, or map them: procura project set {project} --env NAME=PATH -n {}",
                self.namespace()
            ),
        }
    }

    /// Ends well when the request was approved. While the server cannot be
    /// reached it goes on: only a person, or Ctrl-C, ends the waiting.
    async fn decided(&self, request: RequestId) -> Result<(), DaemonError> {
        let mut pause = FIRST_LOOK;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(RAREST_LOOK);
            let state = match self
                .member
                .server
                .request_state(self.namespace(), request)
                .await
            {
                Ok(state) => state,
                Err(error @ ClientError::Refused(..))
                    if !is_passing(&error) && exits_refused(&error) =>
                {
                    return Err(error.into());
                }
                Err(error @ ClientError::Impostor { .. }) => return Err(error.into()),
                Err(error) => {
                    tracing::debug!(%error, "cannot look at a request that waits");
                    continue;
                }
            };
            match state {
                RequestState::Pending => {}
                RequestState::Approved => return Ok(()),
                RequestState::Denied => {
                    return Err(DaemonError::refused(
                        "denied",
                        format!("request {request} was denied"),
                    ));
                }
                RequestState::Revoked => {
                    return Err(DaemonError::refused(
                        "denied",
                        format!("request {request} is void: the agent is revoked"),
                    ));
                }
                RequestState::Ended => {
                    return Err(DaemonError::refused(
                        "denied",
                        format!("request {request} is void: its project was deleted or changed"),
                    ));
                }
                RequestState::Expired => {
                    return Err(DaemonError::refused(
                        "expired",
                        format!("request {request} expired unanswered; run again to ask again"),
                    ));
                }
            }
        }
    }

    async fn say_pending(
        &self,
        pending: RunPending,
        waiting: bool,
        connection: &Connection,
    ) -> Result<(), DaemonError> {
        let reply = Reply::Pending(Pending {
            request: pending.request,
            namespace: self.namespace().clone(),
            agent: self.member.membership.lineage.clone(),
            asked: pending.asked,
            unmatched: pending.unmatched,
            waiting,
        });
        connection
            .say(&reply, None)
            .await
            .map_err(|source| DaemonError::io("answer the client", source))
    }

    async fn hand_over(
        &self,
        answer: RunValues,
        peer: Peer,
        connection: &Connection,
    ) -> Result<(), DaemonError> {
        match self.send(&answer, &peer, connection).await {
            Ok(()) => {
                let run = self.run_of(&answer);
                self.service.children.watch(Some(peer.into_pidfd()), run);
                Ok(())
            }
            Err(error) => {
                self.not_handed_over(&answer);
                Err(error)
            }
        }
    }

    /// Recorded as delivered, and it was not: the server is told at once.
    fn not_handed_over(&self, answer: &RunValues) {
        self.service.children.watch(None, self.run_of(answer));
    }

    fn run_of(&self, answer: &RunValues) -> Run {
        Run {
            server: Arc::clone(&self.member.server),
            namespace: self.namespace().clone(),
            project: self.project.clone(),
            run: answer.run,
        }
    }

    async fn send(
        &self,
        answer: &RunValues,
        peer: &Peer,
        connection: &Connection,
    ) -> Result<(), DaemonError> {
        let cannot = |error: String| DaemonError::refused("undeliverable", error);
        let mut values = EnvValues::with_capacity(answer.values.len());
        for (name, value) in &answer.values {
            let opened = value
                .value_b64
                .decode()
                .map_err(|_| cannot(format!("the value of {name} cannot be read")))?;
            values.push((name.clone(), opened));
        }
        let file = values::sealed_file(&values, self.run.delivery)
            .map_err(|error| cannot(error.to_string()))?;
        if !peer.is_alive() {
            return Err(DaemonError::refused(
                "unknown_peer",
                "the process has ended",
            ));
        }
        let reply = Reply::Values {
            run: answer.run,
            grant: answer.grant,
        };
        connection
            .say(&reply, Some(file.as_fd()))
            .await
            .map_err(|source| DaemonError::io("hand over the values", source))
    }
}

/// Whether the same call may pass in a moment: nobody answered, or the server
/// has just started and cannot tell replays yet (`protocol.md` §3.3).
pub(crate) fn is_passing(error: &ClientError) -> bool {
    matches!(error, ClientError::Unreachable { .. }) || error.is_refusal("verifier_unavailable")
}

fn exits_refused(error: &ClientError) -> bool {
    error
        .problem()
        .is_some_and(|problem| problem.status < 500 && problem.status != 429)
}
