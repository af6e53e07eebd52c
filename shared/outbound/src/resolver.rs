//! Resolving names under the address guard. The HTTP client connects only to addresses that this resolver
//! returned, so what was checked is what is called: a name that leads elsewhere a moment later changes nothing.
//! Addresses written as literals never come here; `target` judges them.

use crate::guard::{AddressPolicy, Forbidden};
use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

/// Finds the addresses of a name. Tests give their own.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The system's own resolver, as any other program on the machine would ask it.
pub fn system_lookup() -> Lookup {
    Arc::new(|name| {
        async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        }
        .boxed()
    })
}

/// Why a name was not resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error("the name {name} did not resolve: {why}")]
    NotFound { name: String, why: String },
    /// One forbidden address among public ones is enough: no honest target has such an answer, and with it the
    /// connection could end there.
    #[error("the name {name} leads to {forbidden}")]
    Forbidden { name: String, forbidden: Forbidden },
}

type Found = Result<Vec<SocketAddr>, ResolveError>;
type UnderWay = Arc<Mutex<HashMap<String, Shared<BoxFuture<'static, Found>>>>>;

/// Looks names up and checks every address that comes back.
pub struct GuardedResolver {
    policy: AddressPolicy,
    lookup: Lookup,
    /// One lookup per name at a time, shared by all who wait for it: the system's resolver blocks a thread for
    /// each, and a name that hangs must not take them all. Nothing is remembered once it is answered.
    under_way: UnderWay,
}

impl GuardedResolver {
    pub fn new(policy: AddressPolicy, lookup: Lookup) -> Self {
        GuardedResolver { policy, lookup, under_way: UnderWay::default() }
    }

    /// The addresses of `name`, all of them allowed and at least one.
    pub fn addresses(&self, name: &str) -> impl Future<Output = Found> + Send + use<> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = under_way.get(name) {
            return lookup.clone();
        }
        let entry = Entry { under_way: self.under_way.clone(), name: name.to_owned() };
        let (lookup, policy) = (self.lookup.clone(), self.policy.clone());
        // A task of its own goes on when whoever asked first gives up.
        let task = tokio::spawn(async move {
            let found = lookup(entry.name.clone()).await;
            check(&entry.name, found, &policy)
        });
        let name = name.to_owned();
        let shared = {
            let name = name.clone();
            task.map(|ended| {
                ended.unwrap_or_else(|why| Err(ResolveError::NotFound { name, why: why.to_string() }))
            })
            .boxed()
            .shared()
        };
        under_way.insert(name, shared.clone());
        shared
    }
}

/// Removes the lookup from those under way, however it ends.
struct Entry {
    under_way: UnderWay,
    name: String,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

fn check(name: &str, found: io::Result<Vec<IpAddr>>, policy: &AddressPolicy) -> Found {
    let not_found = |why: String| ResolveError::NotFound { name: name.to_owned(), why };
    let found = found.map_err(|error| not_found(error.to_string()))?;
    if found.is_empty() {
        return Err(not_found("it has no address".to_owned()));
    }
    for address in &found {
        policy
            .check(*address)
            .map_err(|forbidden| ResolveError::Forbidden { name: name.to_owned(), forbidden })?;
    }
    // The client puts the URL's port in.
    Ok(found.into_iter().map(|address| SocketAddr::new(address, 0)).collect())
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.addresses(name.as_str());
        async move {
            let found = found.await?;
            let all: Addrs = Box::new(found.into_iter());
            Ok(all)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    fn answering(addresses: &'static [&'static str]) -> GuardedResolver {
        let lookup: Lookup = Arc::new(move |_| {
            async move { Ok(addresses.iter().map(|ip| ip.parse().unwrap()).collect()) }.boxed()
        });
        GuardedResolver::new(AddressPolicy::public_only(), lookup)
    }

    #[tokio::test]
    async fn every_address_must_be_allowed() {
        let found = answering(&["1.1.1.1", "2606:4700::1"]).addresses("a.example").await.unwrap();
        assert_eq!(found, ["1.1.1.1:0".parse().unwrap(), "[2606:4700::1]:0".parse().unwrap()]);
        for mixed in [
            &["1.1.1.1", "10.0.0.1"][..],
            &["::ffff:10.0.0.1", "1.1.1.1"],
            &["1.1.1.1", "2606:4700::1", "fe80::1"],
        ] {
            let refused = answering(mixed).addresses("a.example").await.unwrap_err();
            assert!(matches!(refused, ResolveError::Forbidden { .. }), "{mixed:?}: {refused}");
        }
        let refused = answering(&["192.168.0.1"]).addresses("a.example").await.unwrap_err();
        assert_eq!(refused.to_string(), "the name a.example leads to the private address 192.168.0.1");
        let nothing = answering(&[]).addresses("a.example").await.unwrap_err();
        assert_eq!(nothing.to_string(), "the name a.example did not resolve: it has no address");
    }

    #[tokio::test]
    async fn one_lookup_serves_all_who_wait_and_outlives_them() {
        let (asked, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let lookup: Lookup = {
            let (asked, gate) = (asked.clone(), gate.clone());
            Arc::new(move |name| {
                asked.fetch_add(1, Ordering::SeqCst);
                let gate = gate.clone();
                async move {
                    if name == "slow.example" {
                        gate.acquire().await.unwrap().forget();
                    }
                    Ok(vec!["1.1.1.1".parse().unwrap()])
                }
                .boxed()
            })
        };
        let resolver = GuardedResolver::new(AddressPolicy::public_only(), lookup);
        drop(resolver.addresses("slow.example"));
        let waiting: Vec<_> = (0..100).map(|_| tokio::spawn(resolver.addresses("slow.example"))).collect();
        assert!(resolver.addresses("quick.example").await.is_ok());
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        gate.add_permits(1);
        for waiter in waiting {
            assert!(waiter.await.unwrap().is_ok());
        }
        // Answered, it is asked anew: nothing is remembered.
        gate.add_permits(1);
        assert!(resolver.addresses("slow.example").await.is_ok());
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        assert!(resolver.under_way.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_lookup_that_panics_is_no_address_and_is_not_kept() {
        let resolver = GuardedResolver::new(
            AddressPolicy::public_only(),
            Arc::new(|_| async { panic!("as intended") }.boxed()),
        );
        assert!(matches!(resolver.addresses("a.example").await, Err(ResolveError::NotFound { .. })));
        assert!(resolver.under_way.lock().unwrap().is_empty());
    }
}
