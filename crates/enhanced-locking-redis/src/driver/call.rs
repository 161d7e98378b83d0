//! Calls of the code. Owns its two forms, a library of functions where the server takes one and a script where it does
//! not, and giving a server again what it has forgotten. How calls get to a server is the client's.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, FunctionInterface, LuaInterface};
use fred::types::config::Options;
use fred::types::{CustomCommand, Key, Value};

use crate::durability::Copies;
use crate::script::{Code, FREE};

/// Calls the code of a store.
#[derive(Debug)]
pub(super) struct Caller {
    code: Code,
    /// For what may take memory, and for what must work when there is none left.
    scripts: OnceLock<[Script; 2]>,
    /// Whether the servers take functions, as far as is known.
    functions: AtomicBool,
}

/// A script as the servers know it.
#[derive(Debug)]
struct Script {
    text: String,
    digest: String,
}

/// What a call is about: on which keys, with which arguments, and which replicas are to have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) keys: &'a [Key],
    pub(super) arguments: &'a [Value],
    pub(super) copies: Option<Copies>,
    /// Whether it may take memory: it is refused when there is none left.
    pub(super) may_fill: bool,
}

impl Caller {
    /// A caller of a code that is not loaded yet.
    pub(super) fn new(code: Code) -> Self {
        Self { code, scripts: OnceLock::new(), functions: AtomicBool::new(false) }
    }

    /// Gives a server the code. Functions do not go with the slots of a cluster: it keeps to the script, which every
    /// server can be given with a call.
    pub(super) async fn load(&self, client: &Client, cluster: bool) -> Result<(), Error> {
        let load = async |text: String| {
            let digest = client.script_load(text.as_str()).await?;
            Ok::<_, Error>(Script { text, digest })
        };
        let scripts = match load(self.code.flagged(true)).await {
            Ok(filling) => [filling, load(self.code.flagged(false)).await?],
            // Servers before 7.0 do not know the first line. What they let run when memory is full is told by what the
            // script writes first.
            Err(error) if error.details().contains("Error compiling script") => {
                [load(self.code.script.clone()).await?, load(self.code.script.clone()).await?]
            }
            Err(error) => return Err(error),
        };
        let _ = self.scripts.set(scripts);
        let functions = !cluster && self.load_library(client).await;
        self.functions.store(functions, Ordering::Relaxed);
        Ok(())
    }

    /// Calls the code. Also tells how many replicas have what was written, if that was asked.
    pub(super) async fn call(&self, client: &Client, call: Call<'_>) -> (Result<Value, Error>, u32) {
        if self.functions.load(Ordering::Relaxed) {
            let name =
                if call.may_fill { self.code.name.clone() } else { format!("{}_{FREE}", self.code.name) };
            let first = send(client, "FCALL", &name, call).await;
            // Nothing was carried out. A server that was promoted or emptied is given the library again.
            let lost = first.0.as_ref().is_err_and(|error| error.details().contains("Function not found"));
            if !lost {
                return first;
            }
            if self.load_library(client).await {
                return send(client, "FCALL", &name, call).await;
            }
            self.functions.store(false, Ordering::Relaxed);
        }
        let Some([filling, freeing]) = self.scripts.get() else {
            return (Err(Error::new(ErrorKind::Unknown, "the script was never loaded")), 0);
        };
        let script = if call.may_fill { filling } else { freeing };
        let first = send(client, "EVALSHA", &script.digest, call).await;
        // Nothing was carried out: the whole script goes along this once, and the server keeps it.
        if first.0.as_ref().is_err_and(|error| error.details().starts_with("NOSCRIPT")) {
            return send(client, "EVAL", &script.text, call).await;
        }
        first
    }

    /// Whether the server has the library now. One that it had already is the same, by its name.
    async fn load_library(&self, client: &Client) -> bool {
        let loaded: Result<Value, Error> = client.function_load(false, self.code.library.as_str()).await;
        match loaded {
            Ok(_) => true,
            Err(error) if error.details().contains("already exists") => true,
            Err(error) => {
                tracing::debug!(%error, "the server takes no functions; the script does the same, only slower");
                false
            }
        }
    }
}

async fn send(
    client: &Client,
    command: &'static str,
    name: &str,
    call: Call<'_>,
) -> (Result<Value, Error>, u32) {
    if let Some(copies) = call.copies {
        return send_and_wait(client, command, name, call, copies).await;
    }
    let (keys, arguments) = (call.keys.to_vec(), call.arguments.to_vec());
    let answer = match command {
        "FCALL" => client.fcall(name, keys, arguments).await,
        "EVAL" => client.eval(name, keys, arguments).await,
        _ => client.evalsha(name, keys, arguments).await,
    };
    (answer, 0)
}

/// The script and `WAIT` behind it, one after the other on the same connection: `WAIT` counts what that wrote.
async fn send_and_wait(
    client: &Client,
    command: &'static str,
    name: &str,
    call: Call<'_>,
    copies: Copies,
) -> (Result<Value, Error>, u32) {
    let Call { keys, arguments, .. } = call;
    let slot = keys.first().map(Key::cluster_hash);
    // A script that is sent on to another server would leave `WAIT` behind: it is refused instead.
    let stay = Options { max_redirections: Some(0), ..Options::default() };
    let pipeline = client.pipeline().with_options(&stay);
    let count = i64::try_from(keys.len()).unwrap_or(i64::MAX);
    let mut all: Vec<Value> = vec![name.into(), count.into()];
    all.extend(keys.iter().map(|key| Value::from(key.clone())));
    all.extend(arguments.iter().cloned());
    let wait = [i64::from(copies.replicas), i64::try_from(copies.timeout.as_millis()).unwrap_or(i64::MAX)];
    let wait: Vec<Value> = wait.into_iter().map(Value::from).collect();
    for (command, arguments) in [(command, all), ("WAIT", wait)] {
        let command = CustomCommand::new_static(command, slot, false);
        // Only noted: nothing is sent before all are together.
        if let Err(error) = pipeline.custom::<Value, _>(command, arguments).await {
            return (Err(error), 0);
        }
    }
    let mut answers = pipeline.try_all::<Value>().await.into_iter();
    let lost = || Err(Error::new(ErrorKind::Canceled, "no answer"));
    let answer = answers.next().unwrap_or_else(lost);
    // What is not known is not counted: a copy too few is a grant given back, one too many a lie.
    let had = answers.next().and_then(|had| u32::try_from(had.ok()?.as_i64()?).ok()).unwrap_or(0);
    (answer, had)
}
