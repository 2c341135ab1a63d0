//! One certificate is asked for (RFC 8555, 7.4).

use std::{error::Error as StdError, io, time::Duration};

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order, OrderStatus, Problem,
    RetryPolicy,
};

use super::{directory::Directory, store::Store};
use crate::{
    edge::tls::{Certificates, Validating},
    proxy::challenges::{Answering, Challenges},
    settings::tls::{AcmeChallenge, AcmeSettings},
    transport::tls::client::ClientTlsError,
};

/// How often and how long it is looked whether the directory is done.
const LOOKS: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_secs(180));

/// What a directory calls an account that it does not know.
const UNKNOWN_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// What a directory says that has nothing to do with what it was asked for.
const PASSING: [&str; 2] = [":badNonce", ":serverInternal"];

/// Where questions of a directory are answered.
pub struct Answers {
    /// Of http-01.
    pub challenges: Challenges,
    /// Of tls-alpn-01: those that listeners show.
    pub certificates: Vec<Certificates>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The directory says no, or cannot be asked.
    #[error(transparent)]
    Directory(#[from] Error),
    /// It has looked, and does not find that the domain is ours.
    #[error("{domain}: {problem}")]
    Refused {
        /// Which.
        domain: String,
        /// The directory's words.
        problem: Problem,
    },
    /// It does not offer the way that the settings ask for.
    #[error("{domain}: the directory does not offer {}", challenge_name(*.challenge))]
    NotOffered {
        /// Which.
        domain: String,
        /// The way.
        challenge: AcmeChallenge,
    },
    /// It is done, and nothing has come of it.
    #[error("the order has become {status:?}")]
    Failed {
        /// What has become of it.
        status: OrderStatus,
    },
    /// What was given does not cover the domains, or has ended.
    #[error("what was given cannot be used")]
    Useless,
    /// It cannot be answered.
    #[error("a question of the directory cannot be answered")]
    Unanswered(#[source] io::Error),
    /// Nobody is believed.
    #[error("the directory cannot be believed")]
    Believing(#[from] ClientTlsError),
    /// What there is cannot be kept, or read.
    #[error("the folder `{folder}` cannot be used")]
    Store {
        /// Which.
        folder: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl OrderError {
    /// The directory has answered, and does not want to be asked again soon.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Directory(Error::Api(problem)) => {
                !problem.r#type.as_deref().is_some_and(|kind| PASSING.iter().any(|passing| kind.ends_with(passing)))
            }
            Self::Refused { .. } | Self::NotOffered { .. } | Self::Failed { .. } | Self::Useless => true,
            Self::Directory(_) | Self::Unanswered(_) | Self::Believing(_) | Self::Store { .. } => false,
        }
    }

    /// The whole of it in one line, whatever a directory has put into its words.
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(source) = cause {
            text.push_str(&format!(": {source}"));
            cause = source.source();
        }
        text.replace(|letter: char| letter.is_control(), " ")
    }
}

fn challenge_name(challenge: AcmeChallenge) -> &'static str {
    match challenge {
        AcmeChallenge::TlsAlpn01 => "tls-alpn-01",
        AcmeChallenge::Http01 => "http-01",
    }
}

/// Asks for a certificate, answers what the directory wants to know, and keeps what it gives.
///
/// # Errors
/// Why it gives none.
pub async fn obtain(settings: &AcmeSettings, store: &Store, answers: &Answers) -> Result<(), OrderError> {
    let in_store = |source| OrderError::Store { folder: store.folder().display().to_string(), source };
    let identifiers: Vec<_> =
        settings.domains.iter().map(|domain| Identifier::Dns(domain.to_ascii_lowercase())).collect();
    let account = account(settings, store).await?;
    let mut order = match account.new_order(&NewOrder::new(&identifiers)).await {
        Err(Error::Api(problem)) if problem.r#type.as_deref() == Some(UNKNOWN_ACCOUNT) => {
            store.forget_account().map_err(in_store)?;
            register(settings, store).await?.new_order(&NewOrder::new(&identifiers)).await?
        }
        order => order?,
    };
    let answering = answer(&mut order, settings.challenge, answers).await?;
    let validated = order.poll_ready(&LOOKS).await;
    drop(answering);
    match validated {
        Ok(OrderStatus::Ready) => {}
        Ok(status) => return Err(refusal(&mut order).await.unwrap_or(OrderError::Failed { status })),
        Err(error @ Error::Api(_)) => return Err(refusal(&mut order).await.unwrap_or(error.into())),
        Err(error) => return Err(error.into()),
    }
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&LOOKS).await?;
    store.keep_certificate(&key, &chain).map_err(in_store)
}

async fn account(settings: &AcmeSettings, store: &Store) -> Result<Account, OrderError> {
    let known = store.account();
    let known = known.map_err(|source| OrderError::Store { folder: store.folder().display().to_string(), source })?;
    let Some(known) = known else { return register(settings, store).await };
    let directory = Box::new(Directory::of(settings)?);
    Ok(Account::builder_with_http(directory).from_credentials(known).await?)
}

async fn register(settings: &AcmeSettings, store: &Store) -> Result<Account, OrderError> {
    let contact = settings.email.as_ref().map(|email| format!("mailto:{email}"));
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let new = NewAccount { contact: &contact, terms_of_service_agreed: settings.agree, only_return_existing: false };
    let directory = Box::new(Directory::of(settings)?);
    let created = Account::builder_with_http(directory).create(&new, settings.directory.clone(), None).await?;
    let (account, credentials) = created;
    let kept = store.keep_account(&credentials);
    kept.map_err(|source| OrderError::Store { folder: store.folder().display().to_string(), source })?;
    Ok(account)
}

/// A question that is answered until this is dropped.
enum Answered {
    Http(#[expect(dead_code, reason = "it is answered until this is dropped")] Answering),
    Tls(#[expect(dead_code, reason = "it is answered until this is dropped")] Vec<Validating>),
}

async fn answer(order: &mut Order, challenge: AcmeChallenge, answers: &Answers) -> Result<Vec<Answered>, OrderError> {
    let kind = match challenge {
        AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        AcmeChallenge::Http01 => ChallengeType::Http01,
    };
    let mut answered = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let domain = authorization.identifier().to_string();
        let Some(mut asked) = authorization.challenge(kind.clone()) else {
            return Err(OrderError::NotOffered { domain, challenge });
        };
        let says = asked.key_authorization();
        answered.push(match challenge {
            AcmeChallenge::Http01 => Answered::Http(answers.challenges.begin(&asked.token, says.as_str())),
            AcmeChallenge::TlsAlpn01 => {
                let digest = says.digest();
                let begun = answers.certificates.iter().map(|shown| shown.begin_validation(&domain, digest.as_ref()));
                Answered::Tls(begun.collect::<io::Result<_>>().map_err(OrderError::Unanswered)?)
            }
        });
        asked.set_ready().await?;
    }
    Ok(answered)
}

/// The directory's own words for why it does not find that a domain is ours.
async fn refusal(order: &mut Order) -> Option<OrderError> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let domain = authorization.identifier().to_string();
        if let Ok(state) = authorization.refresh().await
            && let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.clone())
        {
            return Some(OrderError::Refused { domain, problem });
        }
    }
    None
}
