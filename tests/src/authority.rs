//! Certificates for two days, made by openssl.

use std::process::Command;

use crate::daemon::output;
use crate::place::Scratch;

/// Makes an authority in `dir`, `ca.pem`, and for each name a `{name}.pem` that it signed and a `{name}.key`; beside the
/// name stands who that is, like `DNS:localhost` or `IP:10.0.0.1`.
///
/// # Panics
/// If openssl fails.
pub fn certificates(dir: &Scratch, wanted: &[(&str, &str)]) {
    let openssl = |args: &str| {
        output(Command::new("openssl").current_dir(dir.path()).args(args.split(' ')));
    };
    let ec = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {ec} -keyout ca.key -out ca.pem -days 2 -subj /CN=test-authority"));
    for (name, who) in wanted {
        dir.write("extensions", &format!("subjectAltName={who}\nbasicConstraints=CA:FALSE\n"));
        openssl(&format!("req {ec} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        let sign = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions";
        openssl(&format!("x509 -req -in {name}.csr {sign} -out {name}.pem"));
    }
}
