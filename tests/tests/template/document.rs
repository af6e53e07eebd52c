//! The template as a document: YAML with CloudFormation's tags in their long form (`!Ref x` is `{"Ref": "x"}`), and
//! what its values come to where every parameter is left as it is.

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, path::PathBuf};

pub struct Template {
    pub document: Value,
}

/// A file of the project.
pub fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

impl Template {
    pub fn read() -> Template {
        let documents = Yaml::load_from_str(&file("template.yaml")).expect("it is YAML");
        let [document] = documents.as_slice() else { panic!("one document, not {}", documents.len()) };
        Template { document: json_of(document) }
    }

    pub fn resources(&self) -> &Map<String, Value> {
        self.document["Resources"].as_object().expect("there are resources")
    }

    /// Those of a type, by their names in the template.
    pub fn of_type(&self, kind: &str) -> Vec<(&str, &Value)> {
        let all = self.resources().iter().filter(|(_, resource)| resource["Type"] == kind);
        all.map(|(name, resource)| (name.as_str(), &resource["Properties"])).collect()
    }

    pub fn properties(&self, resource: &str) -> &Value {
        let properties = &self.document["Resources"][resource]["Properties"];
        assert!(properties.is_object(), "there is no resource {resource}");
        properties
    }

    /// What a function finds in its environment, those of all functions included.
    pub fn variables(&self, function: &str) -> BTreeMap<String, String> {
        let all = &self.document["Globals"]["Function"]["Environment"]["Variables"];
        let own = &self.properties(function)["Environment"]["Variables"];
        let variables = [all, own].into_iter().filter_map(Value::as_object).flatten();
        let values = variables.map(|(name, value)| (name.clone(), self.value(value)));
        values.filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, text(&value))).collect()
    }

    /// What a value comes to. Names of resources are made up, in the form that they have.
    pub fn value(&self, value: &Value) -> Value {
        let Some((function, argument)) = value.as_object().and_then(|object| object.iter().next()) else {
            return value.clone();
        };
        match function.as_str() {
            "Ref" => self.referred(string(argument)),
            "Fn::GetAtt" => {
                let (resource, attribute) = string(argument).split_once('.').expect("resource.attribute");
                self.attribute(resource, attribute)
            }
            "Fn::Sub" => Value::String(self.substituted(string(argument))),
            "Fn::If" => {
                let holds = self.holds(string(&argument[0]));
                self.value(&argument[if holds { 1 } else { 2 }])
            }
            _ => value.clone(),
        }
    }

    fn referred(&self, name: &str) -> Value {
        match name {
            "AWS::NoValue" => Value::Null,
            "AWS::StackName" => json!("rondo"),
            "AWS::Region" => json!("us-east-1"),
            "AWS::AccountId" => json!("123456789012"),
            "AWS::Partition" => json!("aws"),
            "AWS::URLSuffix" => json!("amazonaws.com"),
            name => match self.document["Parameters"].get(name) {
                Some(parameter) => parameter["Default"].clone(),
                None if self.document["Resources"][name]["Type"] == "AWS::SQS::Queue" => {
                    json!(format!("https://sqs.us-east-1.amazonaws.com/123456789012/{name}"))
                }
                None => {
                    assert!(self.resources().contains_key(name), "{name} is nothing of the template");
                    json!(name)
                }
            },
        }
    }

    fn attribute(&self, resource: &str, attribute: &str) -> Value {
        let kind = string(&self.document["Resources"][resource]["Type"]);
        let service = kind.split("::").nth(1).expect("AWS::Service::Kind").to_lowercase();
        match attribute {
            "Arn" => json!(format!("arn:aws:{service}:us-east-1:123456789012:{resource}")),
            _ => json!(resource),
        }
    }

    fn substituted(&self, text: &str) -> String {
        let mut whole = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').expect("a closed ${…}");
            let value = match name.split_once('.') {
                Some((resource, attribute)) => self.attribute(resource, attribute),
                None => self.referred(name),
            };
            whole += before;
            whole += &self::text(&value);
            rest = after;
        }
        whole + rest
    }

    fn holds(&self, condition: &str) -> bool {
        self.judged(&self.document["Conditions"][condition])
    }

    fn judged(&self, condition: &Value) -> bool {
        if let Some(sides) = condition.get("Fn::Equals") {
            return text(&self.value(&sides[0])) == text(&self.value(&sides[1]));
        }
        let denied = condition.get("Fn::Not").unwrap_or_else(|| panic!("an unknown condition: {condition}"));
        !self.judged(&denied[0])
    }
}

/// A value that must be a string.
pub fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string"))
}

/// As CloudFormation writes a value into a text.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn json_of(node: &Yaml) -> Value {
    match node {
        Yaml::Value(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(value) => json!(value),
            Scalar::Integer(value) => json!(value),
            Scalar::FloatingPoint(value) => json!(value.into_inner()),
            Scalar::String(value) => json!(value),
        },
        Yaml::Sequence(items) => items.iter().map(json_of).collect(),
        Yaml::Mapping(entries) => {
            let key = |key: &Yaml| text(&json_of(key));
            entries.iter().map(|(name, value)| (key(name), json_of(value))).collect::<Map<_, _>>().into()
        }
        Yaml::Tagged(tag, value) => {
            let function = match tag.suffix.as_str() {
                name @ ("Ref" | "Condition") => name.to_owned(),
                name => format!("Fn::{name}"),
            };
            json!({function: json_of(value)})
        }
        other => panic!("not understood: {other:?}"),
    }
}
