//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// Measures PUT and GET of a running S3 endpoint, or of a `cyxcloud dev` that it starts itself.
#[derive(Parser, Debug)]
#[command(name = "load", args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, arg_required_else_help = true)]
pub struct Cli {
    /// Instead of a measurement.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What to measure.
    #[command(flatten)]
    pub load: LoadArgs,
}

/// What the program does besides measuring.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// A server that keeps nothing, to measure the client against; ends with its standard input.
    NullServer {
        /// Bytes of every answer to GET.
        #[arg(long)]
        object_bytes: usize,
    },
}

/// What to measure, and how much of it.
#[derive(Args, Clone, Debug)]
pub struct LoadArgs {
    /// An S3 endpoint, such as http://127.0.0.1:8080.
    #[arg(long, required_unless_present = "dev", conflicts_with = "dev", requires_all = ["access_key", "secret_key"])]
    pub endpoint: Option<String>,
    /// Access key of the endpoint.
    #[arg(long, env = "AWS_ACCESS_KEY_ID")]
    pub access_key: Option<String>,
    /// Secret key of the endpoint.
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub secret_key: Option<String>,
    /// Region that requests are signed for.
    #[arg(long, default_value = "us-east-1")]
    pub region: String,
    /// Bucket of the objects; made if it is missing, and left behind empty.
    #[arg(long, default_value = "load")]
    pub bucket: String,
    /// A `cyxcloud` binary to start as `cyxcloud dev`, on a free port, and to end afterwards.
    #[arg(long, requires = "data_dir")]
    pub dev: Option<PathBuf>,
    /// Where that cluster and the raw writes keep their data, in directories of their own that are removed afterwards. Without it
    /// the disk alone is not measured.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// More arguments for `cyxcloud dev`, such as --dev-arg=--no-md5-etag.
    #[arg(long = "dev-arg", requires = "dev", allow_hyphen_values = true)]
    pub dev_args: Vec<String>,
    /// Objects of a round.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub objects: u32,
    /// Size of each object; all objects of a round are in memory.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub size_mib: u32,
    /// Requests in flight.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub concurrency: u32,
    /// Rounds; the median is printed as well.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// A request that takes longer ends the run.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub timeout_s: u32,
    /// Measure the endpoint only, not the client alone and the disk alone.
    #[arg(long)]
    pub no_comparisons: bool,
    /// Print one JSON document instead of the table.
    #[arg(long)]
    pub json: bool,
}

impl LoadArgs {
    /// Bytes of one object.
    pub fn object_bytes(&self) -> usize {
        (self.size_mib as usize) << 20
    }

    /// The longest time one request may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, String> {
        Cli::try_parse_from(line.split(' ')).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_gate() {
        let load = parse("load --endpoint http://h:1 --access-key a --secret-key s").unwrap().load;
        assert_eq!((load.objects, load.object_bytes(), load.concurrency, load.rounds), (64, 8 << 20, 8, 3));
        assert_eq!((load.region.as_str(), load.bucket.as_str(), load.json), ("us-east-1", "load", false));
    }

    #[test]
    fn a_cluster_of_its_own_needs_a_directory() {
        let load = parse("load --dev ./cyxcloud --data-dir d --dev-arg=--no-md5-etag").unwrap().load;
        assert_eq!(load.dev_args, ["--no-md5-etag"]);
        assert!(parse("load --dev ./cyxcloud").unwrap_err().contains("--data-dir"));
        assert!(parse("load --dev x --data-dir d --endpoint http://h:1").unwrap_err().contains("--endpoint"));
    }

    #[test]
    fn nothing_to_measure_is_an_error() {
        assert!(parse("load --objects 5").unwrap_err().contains("--endpoint"));
        assert!(parse("load --dev x --data-dir d --objects 0").unwrap_err().contains("--objects"));
    }

    #[test]
    fn the_null_server_needs_no_endpoint() {
        let cli = parse("load null-server --object-bytes 10").unwrap();
        assert!(matches!(cli.command, Some(Command::NullServer { object_bytes: 10 })));
    }
}
