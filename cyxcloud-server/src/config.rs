//! Configuration of an executable: a TOML file, the environment and flags, each over the one before.
//!
//! The keys of a file are the names of the flags. What the file says becomes the default of the flag, so that clap reads, checks and explains
//! every value, wherever it comes from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, CommandFactory, FromArgMatches};

/// Asked on a command line, never in a file.
const NOT_IN_FILES: [&str; 6] = ["config", "print-config", "check-config", "maintenance", "help", "version"];

/// What every executable with a configuration understands.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigArgs {
    /// TOML file with the names of these flags as keys. The environment goes before it, flags before both.
    #[arg(long, env = "CYX_CONFIG", value_name = "PATH", global = true)]
    pub config: Option<PathBuf>,
    /// Print the configuration in force, and where each value comes from, and exit. Secrets are masked.
    #[arg(long)]
    pub print_config: bool,
    /// Check everything that can be checked without starting, say what is wrong, and exit.
    #[arg(long)]
    pub check_config: bool,
}

/// A configuration and where it came from.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The values.
    pub args: T,
    command: Command,
    matches: ArgMatches,
    from_file: BTreeMap<String, Vec<String>>,
}

/// Reads the configuration of this process; on an error, and for `--help`, prints and exits.
pub fn load_or_exit<T: CommandFactory + FromArgMatches>() -> Loaded<T> {
    load(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Reads the configuration that `argv` and the environment give.
///
/// # Errors
/// As clap says it, with the file named where the value is the file's.
pub fn load<T: CommandFactory + FromArgMatches>(argv: impl IntoIterator<Item = OsString>) -> Result<Loaded<T>, clap::Error> {
    let argv: Vec<OsString> = argv.into_iter().collect();
    // Not built yet: a built one loses its index of arguments when they are changed.
    let mut command = T::command().mut_args(without_empty_environment);
    // A first look, only for the file: what is wrong is said by the second.
    let first = command.clone().ignore_errors(true).try_get_matches_from(&argv)?;
    let path = first.get_one::<PathBuf>("config").cloned();
    let from_file = match &path {
        None => BTreeMap::new(),
        Some(path) => read(path, &command).map_err(|why| command.error(ErrorKind::InvalidValue, format!("{}: {why}", path.display())))?,
    };
    // Of all at once, since changing one by name moves it to the end.
    command = command.mut_args(|arg| match arg.get_long().and_then(|name| from_file.get(name)) {
        Some(values) => arg.required(false).default_values(values.clone()),
        None => arg,
    });
    let matches =
        command.clone().try_get_matches_from(&argv).map_err(|error| name_file(&mut command, error, path.as_deref(), &from_file))?;
    let args = T::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    Ok(Loaded { args, command, matches, from_file })
}

/// A variable that is set to nothing counts as not set: that is how compose files leave one away.
fn without_empty_environment(arg: Arg) -> Arg {
    let empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    if empty { arg.env(Resettable::Reset) } else { arg }
}

fn read(path: &Path, command: &Command) -> Result<BTreeMap<String, Vec<String>>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot be read: {e}"))?;
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| e.to_string())?;
    let mut values = BTreeMap::new();
    for (key, value) in table {
        let name = key.replace('_', "-");
        let known = command.get_arguments().filter_map(Arg::get_long).any(|long| long == name);
        if !known || NOT_IN_FILES.contains(&name.as_str()) {
            return Err(format!("unknown key {key:?}; the keys are the names of the flags, see --help"));
        }
        let texts = match value {
            toml::Value::Array(items) => items.into_iter().map(|item| scalar(&key, item)).collect::<Result<_, _>>()?,
            other => vec![scalar(&key, other)?],
        };
        if values.insert(name, texts).is_some() {
            return Err(format!("{key:?} is there twice, with '-' and with '_'"));
        }
    }
    Ok(values)
}

fn scalar(key: &str, value: toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(yes) => Ok(yes.to_string()),
        other => Err(format!("{key:?} must be a text, a number, true, false, or a list of those, not a {}", other.type_str())),
    }
}

/// Says that a bad value is the file's, which clap takes for a default.
fn name_file(command: &mut Command, error: clap::Error, path: Option<&Path>, from_file: &BTreeMap<String, Vec<String>>) -> clap::Error {
    use clap::error::{ContextKind, ContextValue};
    let (Some(path), Some(ContextValue::String(value))) = (path, error.get(ContextKind::InvalidValue)) else { return error };
    if !from_file.values().flatten().any(|given| given == value) {
        return error;
    }
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text).lines().next().unwrap_or_default();
    command.error(ErrorKind::ValueValidation, format!("{}: {text}", path.display()))
}

impl<T> Loaded<T> {
    /// The configuration as a TOML file, with the source of each value beside it. Secrets, which are the flags whose environment `--help` hides, are masked.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for arg in self.command.get_arguments() {
            let Some(name) = arg.get_long().filter(|name| !NOT_IN_FILES.contains(name)) else { continue };
            let values: Vec<String> = self
                .matches
                .get_raw(arg.get_id().as_str())
                .map(|raw| raw.map(|value| value.to_string_lossy().into_owned()).collect())
                .unwrap_or_default();
            let line = match values.as_slice() {
                [] => format!("# {name} is not set"),
                _ if arg.is_hide_env_values_set() => format!("# {name} is set and not shown"),
                [value] if !matches!(arg.get_action(), ArgAction::Append) => format!("{name} = {}", as_toml(value)),
                many => format!("{name} = [{}]", many.iter().map(|value| as_toml(value)).collect::<Vec<_>>().join(", ")),
            };
            match self.source(arg, name) {
                Some(source) => writeln!(text, "{line:<56} # {source}"),
                None => writeln!(text, "{line}"),
            }
            .expect("a String takes whatever is written");
        }
        text
    }

    fn source(&self, arg: &Arg, name: &str) -> Option<String> {
        match self.matches.value_source(arg.get_id().as_str())? {
            ValueSource::CommandLine => Some("flag".into()),
            ValueSource::EnvVariable => Some(format!("environment {}", arg.get_env().unwrap_or_default().to_string_lossy())),
            _ if self.from_file.contains_key(name) => Some("file".into()),
            _ => Some("default".into()),
        }
    }
}

fn as_toml(value: &str) -> String {
    let plain = value.parse::<i64>().is_ok() && !value.starts_with('+') || value == "true" || value == "false";
    if plain { value.to_owned() } else { toml::Value::String(value.to_owned()).to_string() }
}

/// Prints what `--check-config` found and gives the exit code.
pub fn report(problems: &[String]) -> ExitCode {
    for problem in problems {
        eprintln!("error: {problem}");
    }
    if problems.is_empty() {
        println!("the configuration is good");
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

/// Reads a length of time: a number with `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
/// Saying what is expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is not a length of time such as 90s, 30m, 2h or 1d");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| bad())?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(bad()),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(bad)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
