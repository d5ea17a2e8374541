//! scheduler_config.json: which scheduler a checkpoint folder names, and with which shift.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::method::Sampler;
use crate::error::{Error, Result};
use crate::weights::{json, shown};

/// The largest shift that is accepted; published models use 1 to 16.
pub(super) const MAX_SHIFT: f64 = 1000.0;

/// The key of the class.
const CLASS: &str = "_class_name";

/// The scheduler classes of diffusers that a folder may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedulerClass {
    /// `UniPCMultistepScheduler` with flow sigmas: every published Wan folder.
    UniPcMultistep,
    /// `FlowMatchEulerDiscreteScheduler`.
    FlowMatchEulerDiscrete,
}

/// A checkpoint's scheduler: its class, and the shift of its noise levels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SchedulerConfig {
    class: SchedulerClass,
    shift: f64,
}

/// One key: its default in the class, and the one value that this engine implements.
type Rule = (&'static str, Value, Value);

impl SchedulerClass {
    /// The name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::UniPcMultistep => "UniPCMultistepScheduler",
            Self::FlowMatchEulerDiscrete => "FlowMatchEulerDiscreteScheduler",
        }
    }

    fn shift_key(self) -> &'static str {
        match self {
            Self::UniPcMultistep => "flow_shift",
            Self::FlowMatchEulerDiscrete => "shift",
        }
    }

    fn rules(self) -> Vec<Rule> {
        let off = |key| (key, json!(false), json!(false));
        let mut rules = vec![
            ("num_train_timesteps", json!(1000), json!(1000)),
            ("shift_terminal", json!(null), json!(null)),
            off("use_dynamic_shifting"),
            off("use_karras_sigmas"),
            off("use_exponential_sigmas"),
            off("use_beta_sigmas"),
        ];
        match self {
            Self::UniPcMultistep => rules.extend([
                ("prediction_type", json!("epsilon"), json!("flow_prediction")),
                ("use_flow_sigmas", json!(false), json!(true)),
                ("solver_order", json!(2), json!(2)),
                ("solver_type", json!("bh2"), json!("bh2")),
                ("solver_p", json!(null), json!(null)),
                ("predict_x0", json!(true), json!(true)),
                ("lower_order_final", json!(true), json!(true)),
                ("disable_corrector", json!([]), json!([])),
                ("final_sigmas_type", json!("zero"), json!("zero")),
                ("timestep_spacing", json!("linspace"), json!("linspace")),
                ("steps_offset", json!(0), json!(0)),
                off("thresholding"),
            ]),
            Self::FlowMatchEulerDiscrete => rules.extend([off("invert_sigmas"), off("stochastic_sampling")]),
        }
        rules
    }
}

/// Keys without effect on flow matching as the rules admit it: noise variances, what goes with options that are off.
const IDLE: &[&str] = &[
    "base_image_seq_len",
    "base_shift",
    "beta_end",
    "beta_schedule",
    "beta_start",
    "dynamic_thresholding_ratio",
    "max_image_seq_len",
    "max_shift",
    "rescale_betas_zero_snr",
    "sample_max_value",
    "sigma_max",
    "sigma_min",
    "time_shift_type",
    "trained_betas",
];

impl SchedulerConfig {
    /// Reads a checkpoint folder's `scheduler/scheduler_config.json`; `class` is what its `model_index.json` names, which
    /// is the one that diffusers uses.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Checkpoint`] if it is no regular file, too long or not JSON,
    /// [`Error::Config`] if the two files name different classes, otherwise as [`Self::parse`].
    pub fn open(file: &Path, class: Option<&str>) -> Result<Self> {
        Self::of_class(json::read_object(file)?, file, class)
    }

    /// As [`open`](Self::open), of what the file holds.
    pub(crate) fn of_class(mut keys: Map<String, Value>, file: &Path, class: Option<&str>) -> Result<Self> {
        if let Some(class) = class {
            let named = keys.entry(CLASS).or_insert_with(|| class.into());
            if named != class {
                let found = json::short(named);
                let why = format!("is {found}, model_index.json says {class}: take both from one checkpoint");
                return Err(Error::config(file, CLASS, why));
            }
        }
        Self::from_keys(&keys, file)
    }

    /// Reads the text of a scheduler configuration; `file` is for messages.
    ///
    /// Absent keys have their class's defaults in diffusers 0.42.1. Keys that start with `_`, keys that change nothing for
    /// flow matching and keys that are not known are ignored, the last as far as they are switched off.
    ///
    /// # Errors
    /// [`Error::Config`] if the class, a key or a value is not one that this engine implements.
    pub fn parse(text: &str, file: &Path) -> Result<Self> {
        let keys: Map<String, Value> = serde_json::from_str(text)
            .map_err(|e| Error::file(file, format!("not a scheduler configuration in JSON: {e}")))?;
        Self::from_keys(&keys, file)
    }

    fn from_keys(keys: &Map<String, Value>, file: &Path) -> Result<Self> {
        let known = [SchedulerClass::UniPcMultistep, SchedulerClass::FlowMatchEulerDiscrete];
        let named = keys.get(CLASS).unwrap_or(&Value::Null);
        let Some(class) = known.into_iter().find(|class| named == class.name()) else {
            let names = known.map(SchedulerClass::name).join(" or ");
            return Err(Error::config(file, CLASS, format!("expected {names}, found {}", json::short(named))));
        };

        let rules = class.rules();
        for (key, default, supported) in &rules {
            let value = keys.get(*key).unwrap_or(default);
            if !same(value, supported) {
                let absent = if keys.contains_key(*key) { "" } else { " (the class's default: the key is absent)" };
                let why = format!("a Wan checkpoint has {supported} here, found {}{absent}", json::short(value));
                return Err(Error::config(file, key, why));
            }
        }
        // A configuration that was converted from another class keeps that class's keys, which then mean nothing.
        let foreign: Vec<Rule> = known.into_iter().filter(|&c| c != class).flat_map(SchedulerClass::rules).collect();
        let is_known = |key: &str| {
            key.starts_with('_')
                || IDLE.contains(&key)
                || known.iter().any(|class| class.shift_key() == key)
                || rules.iter().chain(&foreign).any(|(name, ..)| *name == key)
        };
        // diffusers adds options with each release, and writes them out switched off.
        if let Some((key, value)) = keys.iter().find(|(key, value)| !is_known(key) && !is_off(value)) {
            let why = format!(
                "{} has no option of this name that is implemented here; remove it if it changes nothing, found {}",
                class.name(),
                json::short(value)
            );
            return Err(Error::config(file, &shown(key), why));
        }

        let key = class.shift_key();
        let shift = match keys.get(key) {
            None => 1.0,
            Some(value) => value.as_f64().filter(|s| *s > 0.0 && *s <= MAX_SHIFT).ok_or_else(|| {
                let why = format!("expected a number above 0 and at most {MAX_SHIFT}, found {}", json::short(value));
                Error::config(file, key, why)
            })?,
        };
        Ok(Self { class, shift })
    }

    /// The scheduler class.
    pub fn class(&self) -> SchedulerClass {
        self.class
    }

    /// The shift of the noise levels: `flow_shift` or `shift`, 1 if the file has none.
    pub fn shift(&self) -> f64 {
        self.shift
    }

    /// The sampler of the class.
    pub fn sampler(&self) -> Sampler {
        match self.class {
            SchedulerClass::UniPcMultistep => Sampler::UniPc,
            SchedulerClass::FlowMatchEulerDiscrete => Sampler::Euler,
        }
    }
}

/// Whether a value switches an option off: null, false, an empty list, object or text.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// Whether two values are equal: numbers by value (1000 is 1000.0), and all that switch an option off.
fn same(a: &Value, b: &Value) -> bool {
    if is_off(a) && is_off(b) {
        return true;
    }
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}
