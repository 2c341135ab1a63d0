//! `GET /metrics`: what is counted, for Prometheus.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet, prometheus_text, text},
    metrics::MetricType,
    registry::Registry,
};

use super::Status;

mod cache;
mod catalogue;
mod endpoints;
mod filters;
mod listeners;
mod process;
mod requests;
mod server;
mod upstreams;

/// One metric, as [`catalogue`] has it.
#[derive(Debug)]
pub struct Metric {
    /// Its name; that of a counter without `_total`.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// How to read it.
    pub kind: Kind,
}

/// How to read a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It comes and goes.
    Gauge,
    /// How many took how long.
    Histogram,
}

/// What a metric is of.
type Labels = Vec<(&'static str, String)>;

/// A metric with what it is now.
#[derive(Debug)]
struct Family {
    metric: &'static Metric,
    samples: Vec<(Labels, Value)>,
}

#[derive(Debug)]
enum Value {
    Counter(u64),
    Seconds(f64),
    Gauge(f64),
    Histogram { sum: f64, count: u64, buckets: Vec<(f64, u64)> },
}

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own.
    Prometheus,
    /// OpenMetrics.
    OpenMetrics,
}

/// All of it, as of one moment.
#[derive(Debug)]
struct Scrape(Vec<Family>);

/// All metrics now.
///
/// # Errors
/// None: memory takes all text.
pub fn written(status: &Status, format: Format) -> Result<String, fmt::Error> {
    let mut families = requests::now(status);
    families.extend(upstreams::now(status));
    families.extend(endpoints::now(status));
    families.extend(filters::now(status));
    families.extend(cache::now(status));
    families.extend(listeners::now(status));
    families.extend(server::now(status));
    families.extend(process::now());
    families.retain(|family| !family.samples.is_empty());
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(families)));
    let mut text = String::new();
    match format {
        Format::Prometheus => prometheus_text::encode(&mut text, &registry)?,
        Format::OpenMetrics => text::encode(&mut text, &registry)?,
    }
    Ok(text)
}

impl Format {
    /// The one that is asked for: OpenMetrics where it is named, for not everything that reads Prometheus' own reads that.
    pub fn asked_for(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// What it is called.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Family {
    fn of(metric: &'static Metric) -> Self {
        Self { metric, samples: Vec::new() }
    }

    /// One without labels.
    fn single(metric: &'static Metric, value: Value) -> Self {
        Self { metric, samples: vec![(Vec::new(), value)] }
    }

    fn push(&mut self, labels: Labels, value: Value) {
        self.samples.push((labels, value));
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Family { metric, samples } in &self.0 {
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let mut family = encoder.encode_descriptor(metric.name, metric.help, None, kind)?;
            for (labels, value) in samples {
                let mut sample = family.encode_family(labels)?;
                match value {
                    Value::Counter(count) => sample.encode_counter::<NoLabelSet, _, f64>(count, None)?,
                    Value::Seconds(seconds) => sample.encode_counter::<NoLabelSet, _, f64>(seconds, None)?,
                    Value::Gauge(now) => sample.encode_gauge(now)?,
                    Value::Histogram { sum, count, buckets } => {
                        sample.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_are_for_those_who_ask_for_them() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";

        assert_eq!(Format::asked_for(prometheus), Format::OpenMetrics);
        assert_eq!(Format::asked_for("*/*"), Format::Prometheus);
        assert_eq!(Format::asked_for(""), Format::Prometheus);
    }

    #[test]
    fn what_stands_in_a_label_ends_no_line() {
        static METRIC: Metric = Metric { name: "a", help: "A", kind: Kind::Gauge };
        let mut family = Family::of(&METRIC);
        family.push(vec![("route", "/\"\n\\".into())], Value::Gauge(1.0));
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape(vec![family])));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).expect("memory takes it");

        assert!(text.ends_with("a{route=\"/\\\"\\n\\\\\"} 1.0\n"), "{text}");
    }
}
