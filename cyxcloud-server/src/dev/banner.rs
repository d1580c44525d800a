//! What `cyxcloud dev` prints: where it is and lines to paste.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use cyxcloud_sdk::Cluster;
use serde_json::json;

use crate::access_keys::ShownPair;

/// Prints the greeting, or one line of JSON, to standard output.
pub fn print(address: SocketAddr, pair: &ShownPair, cluster: &Cluster, region: &str, as_json: bool) -> std::io::Result<()> {
    let endpoint = format!("http://{}", reachable(address));
    let ShownPair { access_key_id: id, secret_access_key: secret } = pair;
    let data_dir = std::path::absolute(cluster.directory().unwrap_or(Path::new("")))?;
    let mut out = std::io::stdout().lock();
    if as_json {
        let line = json!({
            "endpoint": endpoint, "access_key_id": id, "secret_access_key": secret, "region": region,
            "data_dir": data_dir.display().to_string(),
        });
        writeln!(out, "{line}")?;
        return out.flush();
    }
    let program = std::env::current_exe().map_or_else(|_| "cyxcloud".into(), |path| path.display().to_string());
    let nodes = cluster.local_nodes().nodes().len();
    let scheme = cluster.engine().policy().scheme;
    writeln!(
        out,
        "\
CyxCloud is running: {nodes} nodes, Reed-Solomon {scheme}

  S3 endpoint   {endpoint}   (also {endpoint}/s3)
  access key    {id}
  secret key    {secret}
  region        {region}
  data          {}
  health        {endpoint}/health/cluster

Paste into another terminal:

# aws
export AWS_ACCESS_KEY_ID={id} AWS_SECRET_ACCESS_KEY={secret} AWS_DEFAULT_REGION={region} AWS_ENDPOINT_URL={endpoint}
aws s3 ls s3://hello-aws >/dev/null 2>&1 || aws s3 mb s3://hello-aws
echo 'hello' | aws s3 cp - s3://hello-aws/hello.txt && aws s3 cp s3://hello-aws/hello.txt -

# rclone
export RCLONE_CONFIG_CYX_TYPE=s3 RCLONE_CONFIG_CYX_PROVIDER=Other RCLONE_CONFIG_CYX_ENDPOINT={endpoint} \\
  RCLONE_CONFIG_CYX_ACCESS_KEY_ID={id} RCLONE_CONFIG_CYX_SECRET_ACCESS_KEY={secret} RCLONE_CONFIG_CYX_REGION={region}
rclone mkdir cyx:hello-rclone && echo 'hello' | rclone rcat cyx:hello-rclone/hello.txt && rclone cat cyx:hello-rclone/hello.txt

# boto3
python3 - <<'END'
import boto3
s3 = boto3.client('s3', endpoint_url='{endpoint}', region_name='{region}',
                  aws_access_key_id='{id}', aws_secret_access_key='{secret}')
if 'hello-boto3' not in [bucket['Name'] for bucket in s3.list_buckets()['Buckets']]:
    s3.create_bucket(Bucket='hello-boto3')
s3.put_object(Bucket='hello-boto3', Key='hello.txt', Body=b'hello')
print(s3.get_object(Bucket='hello-boto3', Key='hello.txt')['Body'].read().decode())
END

Lose some nodes and read again:   {program} dev-node wipe 0 --http-addr {}
Ctrl-C stops; everything is kept in the data directory.",
        data_dir.display(),
        reachable(address),
    )?;
    out.flush()
}

/// An address a client on this machine can connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (std::net::Ipv6Addr::LOCALHOST, v6.port()).into(),
        other => other,
    }
}
