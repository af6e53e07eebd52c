//! The API's routes: every path and method of each function's router has its own in the template, and whatever else
//! is asked reaches the function that refuses it in the right form.

use crate::document::{Template, file, string};
use axum::{Router, body::Body};
use http::{Method, Request, StatusCode, header};
use rondo_http_api::{Api, ApiSettings, native, pushes, requests};
use rondo_outbound::{AddressPolicy, UrlGuard};
use rondo_tests::api_world::ApiWorld;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tower::ServiceExt as _;

const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
const SURFACES: [(&str, &str); 3] = [
    ("SchedulesIntegration", "shared/http-api/src/native/mod.rs"),
    ("RequestsIntegration", "shared/http-api/src/requests/mod.rs"),
    ("PushesIntegration", "shared/http-api/src/pushes/mod.rs"),
];

/// Path → methods, and path → whatever takes the rest there.
type Paths = BTreeMap<String, BTreeSet<String>>;

struct Routes {
    /// By integration.
    explicit: BTreeMap<String, Paths>,
    /// Route keys with `ANY`, and `$default`, to their integrations.
    rest: BTreeMap<String, String>,
}

fn routes(template: &Template) -> Routes {
    let mut routes = Routes { explicit: BTreeMap::new(), rest: BTreeMap::new() };
    for (name, route) in template.of_type("AWS::ApiGatewayV2::Route") {
        let target = template.value(&route["Target"]);
        let integration = string(&target).strip_prefix("integrations/").expect("an integration").to_owned();
        let key = string(&route["RouteKey"]);
        match key.split_once(' ') {
            Some((method, path)) if method != "ANY" => {
                let methods = routes.explicit.entry(integration).or_default().entry(path.to_owned());
                assert!(methods.or_default().insert(method.to_owned()), "{name}: {key} is there twice");
            }
            _ => assert!(routes.rest.insert(key.to_owned(), integration).is_none(), "{key} is there twice"),
        }
    }
    routes
}

/// The paths that a surface's source names.
fn paths(source: &str) -> Vec<String> {
    let source = file(source);
    let paths: Vec<_> = source
        .split(".at(\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap_or_default().to_owned())
        .collect();
    assert!(!paths.is_empty());
    paths
}

fn filled(path: &str) -> String {
    path.replace("{id}", "01990000-0000-8000-8000-000000000000").replace("{tag}", "t").replace("{alias}", "a")
}

#[tokio::test]
async fn every_route_of_the_routers_is_one_of_the_template_and_the_other_way_round() {
    let world = ApiWorld::start().await;
    let api = Arc::new(Api {
        engine: world.engine.clone(),
        rules: Arc::new(UrlGuard::new(AddressPolicy::public_only())),
        settings: ApiSettings::default(),
    });
    let written = routes(&Template::read()).explicit;
    let routers = [native::router(Arc::clone(&api)), requests::router(Arc::clone(&api)), pushes::router(api)];
    for ((integration, source), router) in SURFACES.into_iter().zip(routers) {
        let mut answered = Paths::new();
        for path in paths(source) {
            answered.insert(path.clone(), allowed(&router, &filled(&path)).await);
        }
        assert_eq!(written[integration], answered, "{integration}");
    }
    assert_eq!(written.len(), SURFACES.len());
}

/// What a path takes, as it says itself; HEAD goes with GET.
async fn allowed(router: &Router, path: &str) -> BTreeSet<String> {
    let request =
        Request::builder().method(Method::OPTIONS).uri(path).body(Body::empty()).expect("a request");
    let answer = router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
    assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{path}");
    let allow = answer.headers()[header::ALLOW].to_str().expect("ASCII").to_owned();
    allow.split(',').map(str::trim).filter(|method| *method != "HEAD").map(str::to_owned).collect()
}

/// As API Gateway chooses: a path in full before one with variables, that before a greedy one, `$default` last.
fn chosen<'r>(routes: &'r Routes, method: &Method, path: &str) -> &'r str {
    let mut found: Option<(u8, &str)> = None;
    let mut consider = |rank: u8, integration: &'r str| {
        if found.is_none_or(|(best, _)| rank < best) {
            found = Some((rank, integration));
        }
    };
    for (integration, paths) in &routes.explicit {
        for pattern in
            paths.iter().filter(|(_, methods)| methods.contains(method.as_str())).map(|(path, _)| path)
        {
            if let Some(rank) = matches(pattern, path) {
                consider(rank, integration);
            }
        }
    }
    for (key, integration) in &routes.rest {
        match key.strip_prefix("ANY ") {
            Some(pattern) => matches(pattern, path).into_iter().for_each(|rank| consider(rank, integration)),
            None => consider(u8::MAX, integration),
        }
    }
    found.unwrap_or_else(|| panic!("nothing takes {method} {path}")).1
}

fn matches(pattern: &str, path: &str) -> Option<u8> {
    if pattern == path {
        return Some(0);
    }
    if let Some(stem) = pattern.strip_suffix("{proxy+}") {
        return (path.starts_with(stem) && path.len() > stem.len()).then_some(2);
    }
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
    let same = pattern.len() == path.len()
        && pattern.iter().zip(&path).all(|(pattern, part)| pattern == part || pattern.starts_with('{'));
    same.then_some(1)
}

/// Also with a slash at its end, with a method that it does not take, and where it only begins like one.
#[test]
fn whatever_is_asked_reaches_the_surface_that_its_path_belongs_to() {
    let routes = routes(&Template::read());
    assert_eq!(routes.rest["$default"], "SchedulesIntegration");
    for (integration, source) in SURFACES {
        for path in paths(source) {
            for path in [filled(&path), format!("{}/", filled(&path)), format!("{}/more", filled(&path))] {
                if path == "/requests/" {
                    // AWS does not say whether the rest of a path may be nothing; the default refuses it, in the
                    // right form.
                    continue;
                }
                for method in METHODS {
                    assert_eq!(chosen(&routes, &method, &path), integration, "{method} {path}");
                }
            }
        }
    }
    for nowhere in ["/", "/v1", "/v4", "/nowhere", "/requestsx"] {
        assert_eq!(chosen(&routes, &Method::GET, nowhere), "SchedulesIntegration", "{nowhere}");
    }
}

#[test]
fn the_gateway_may_invoke_what_its_routes_lead_to() {
    let template = Template::read();
    let permitted: BTreeSet<_> = template
        .of_type("AWS::Lambda::Permission")
        .into_iter()
        .filter(|(_, permission)| permission["Principal"] == "apigateway.amazonaws.com")
        .map(|(_, permission)| permission["FunctionName"]["Ref"].as_str().unwrap())
        .collect();
    let integrations = template.of_type("AWS::ApiGatewayV2::Integration");
    assert_eq!(integrations.len(), permitted.len());
    for (name, integration) in integrations {
        let function = integration["IntegrationUri"]["Fn::GetAtt"].as_str().unwrap();
        assert!(permitted.contains(function.strip_suffix(".Arn").unwrap()), "{name}");
        assert_eq!(integration["PayloadFormatVersion"], "2.0", "{name}");
        // `SchedulesIntegration` leads to `SchedulesFunction`.
        assert_eq!(function.strip_suffix("Function.Arn"), name.strip_suffix("Integration"));
    }
}
