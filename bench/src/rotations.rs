//! The key of a namespace of many secrets turns, alone and beside reads: until all of them
//! are wrapped by the new one, and the one before is gone.

use crate::Outcome;
use crate::installation::PASSPHRASE;
use crate::values::NAMESPACE;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A rotation on its way.
pub(crate) struct Turning(JoinHandle<Result<f64, String>>);

impl Turning {
    /// Begins. `rotate` and each `status` are the command line as the owner.
    pub(crate) fn begin(
        mut rotate: Command,
        status: impl Fn() -> Command + Send + 'static,
    ) -> Self {
        Self(std::thread::spawn(move || {
            run(&mut rotate, &status).map_err(|error| error.to_string())
        }))
    }

    /// How many seconds it took, from when the key had turned.
    pub(crate) fn end(self) -> Outcome<f64> {
        let taken = self.0.join().map_err(|_| "the rotation's thread died")?;
        Ok(taken?)
    }
}

fn run(rotate: &mut Command, status: &dyn Fn() -> Command) -> Outcome<f64> {
    let mut child = rotate
        .args(["--passphrase-fd", "0", "rotate", "namespace", NAMESPACE])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut stdin = child.stdin.take().ok_or("no pipe to the program")?;
    writeln!(stdin, "{PASSPHRASE}")?;
    drop(stdin);
    let mut began = None;
    // Unlocking the owner's key and the session come before it begins.
    let limit = Instant::now() + Duration::from_secs(300);
    loop {
        let turned = child.try_wait()?.is_some();
        let output = status().args(["--json", "status"]).output()?;
        let said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let under_way = said.get("rewrapping").is_some();
        match began {
            None if under_way => began = Some(Instant::now()),
            // The key had turned before it was looked, so this was over by then.
            None if turned => return Err("the rotation was over before it was seen".into()),
            Some(began) if !under_way => {
                let ended = child.wait()?;
                return match ended.success() {
                    true => Ok(began.elapsed().as_secs_f64()),
                    false => Err(format!("procura rotate namespace: {ended}").into()),
                };
            }
            _ => {}
        }
        if Instant::now() > limit {
            return Err("the rotation did not end within five minutes".into());
        }
        // Each look is a process of its own: more of them would be a load.
        std::thread::sleep(Duration::from_millis(50));
    }
}
