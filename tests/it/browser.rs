//! A headless Chromium, controlled with its DevTools protocol over two pipes, so that no network port is opened.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Keys held while another is pressed, as the protocol counts them.
pub const ALT: u32 = 1;
pub const CONTROL: u32 = 2;
pub const SHIFT: u32 = 8;

pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Option<String>,
    count: u64,
    /// The events received so far.
    events: Vec<Value>,
    _profile: tempfile::TempDir,
}

/// Finds an installed Chromium.
fn find_chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut folders = std::env::split_paths(&path);
    folders.find_map(|folder| NAMES.iter().map(|name| folder.join(name)).find(|program| program.is_file()))
}

impl Browser {
    pub fn start() -> Self {
        let program = find_chromium().expect("Chromium must be installed");
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"]).arg(program);
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--mute-audio",
        ]);
        command.args(["--no-first-run", "--disable-background-networking", "--remote-debugging-pipe"]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, from) = channel();
        // Ends when the browser closes its end of the pipe.
        std::thread::spawn(move || {
            for message in BufReader::new(out).split(0).map_while(Result::ok) {
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    break;
                }
            }
        });
        let (session, events) = (None, Vec::new());
        let mut browser = Self { child, to, from, session, count: 0, events, _profile: profile };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attach = json!({"targetId": target, "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = Some(attached["sessionId"].as_str().unwrap().into());
        for domain in ["Page", "Runtime", "Log", "Network", "DOM"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.resize(1300, 900);
        browser.prefer("light");
        browser
    }

    /// Calls a method of the protocol and returns its result.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.count += 1;
        let id = self.count;
        let mut request = json!({"id": id, "method": method, "params": params});
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{request}\0").as_bytes()).unwrap();
        loop {
            let message = self.receive(method);
            if message["id"] == id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    /// Receives the next message, and accepts the dialog if it announces one.
    fn receive(&mut self, waiting_for: &str) -> Value {
        let message =
            self.from.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{waiting_for}: {error}"));
        if message["method"] == "Page.javascriptDialogOpening" {
            self.accept_dialog();
        }
        message
    }

    /// Leaves a page that asks whether to stay. The answer comes later, as an event without a method.
    fn accept_dialog(&mut self) {
        self.count += 1;
        let (id, params) = (self.count, json!({"accept": true}));
        let method = "Page.handleJavaScriptDialog";
        let request = json!({"id": id, "method": method, "params": params, "sessionId": self.session});
        self.to.write_all(format!("{request}\0").as_bytes()).unwrap();
    }

    /// Loads the page again; returns whether it asked before.
    pub fn reload(&mut self) -> bool {
        let before = self.events.len();
        self.call("Page.reload", json!({}));
        let has = |events: &[Value], method: &str| events.iter().any(|event| event["method"] == method);
        while !has(&self.events[before..], "Page.loadEventFired") {
            let message = self.receive("the end of loading");
            self.events.push(message);
        }
        has(&self.events[before..], "Page.javascriptDialogOpening")
    }

    /// Lets pages download into a folder.
    pub fn download_to(&mut self, folder: &Path) {
        let path = folder.to_str().unwrap();
        self.call("Page.setDownloadBehavior", json!({"behavior": "allow", "downloadPath": path}));
    }

    /// Runs a script before those of every page from now on.
    pub fn run_first(&mut self, script: &str) {
        self.call("Page.addScriptToEvaluateOnNewDocument", json!({"source": script}));
    }

    /// Opens a file and waits until it is loaded.
    pub fn open(&mut self, page: &Path, fragment: &str) {
        let encoded = |byte: &u8| match byte {
            b'/' | b'.' | b'-' | b'_' => char::from(*byte).to_string(),
            byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
            byte => format!("%{byte:02X}"),
        };
        let path: String = page.to_str().unwrap().as_bytes().iter().map(encoded).collect();
        let opened = self.call("Page.navigate", json!({"url": format!("file://{path}{fragment}")}));
        assert!(opened.get("errorText").is_none(), "{opened}");
        self.until("location.protocol === 'file:' && document.readyState === 'complete'");
    }

    /// Opens an address and waits until it is loaded.
    pub fn open_address(&mut self, url: &str) {
        let opened = self.call("Page.navigate", json!({"url": url}));
        assert!(opened.get("errorText").is_none(), "{opened}");
        self.until("location.protocol !== 'about:' && document.readyState === 'complete'");
    }

    /// Waits for another tab whose address begins like this, and goes on with it.
    pub fn switch_to_tab(&mut self, prefix: &str) {
        let started = Instant::now();
        let session = self.session.take();
        let target = loop {
            let targets = self.call("Target.getTargets", json!({}))["targetInfos"].clone();
            let is_meant = |target: &&Value| {
                target["type"] == "page" && target["url"].as_str().is_some_and(|url| url.starts_with(prefix))
            };
            if let Some(target) = targets.as_array().unwrap().iter().find(is_meant) {
                break target["targetId"].clone();
            }
            assert!(started.elapsed() < PATIENCE, "no tab of {prefix}, only {targets}; was {session:?}");
            std::thread::sleep(Duration::from_millis(20));
        };
        let attached = self.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        self.session = Some(attached["sessionId"].as_str().unwrap().into());
        for domain in ["Page", "Runtime", "Log", "Network", "DOM"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
        self.until("document.readyState === 'complete'");
    }

    /// Chooses files in a field for them.
    pub fn choose(&mut self, field: &str, files: &[PathBuf]) {
        let field = self.call("Runtime.evaluate", json!({"expression": field}))["result"]["objectId"].clone();
        self.call("DOM.setFileInputFiles", json!({"files": files, "objectId": field}));
    }

    /// Drags files over the page and drops them on an element.
    pub fn drop_files(&mut self, element: &str, files: &[PathBuf]) {
        let position = self.value(&format!(
            "(() => {{ const box = {element}.getBoundingClientRect(); \
             return [box.left + box.width / 2, box.top + box.height / 2]; }})()"
        ));
        for kind in ["dragEnter", "dragOver", "drop"] {
            let data = json!({"items": [], "files": files, "dragOperationsMask": 1});
            let drag = json!({"type": kind, "x": position[0], "y": position[1], "data": data});
            self.call("Input.dispatchDragEvent", drag);
        }
    }

    /// Sets the preferred colour scheme, and disables animations, which would move the targets of clicks.
    pub fn prefer(&mut self, colours: &str) {
        let features = json!([
            {"name": "prefers-color-scheme", "value": colours},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    pub fn resize(&mut self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Evaluates an expression.
    pub fn value(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", params);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    pub fn number(&mut self, expression: &str) -> f64 {
        let value = self.value(expression);
        value.as_f64().unwrap_or_else(|| panic!("{expression}: {value}"))
    }

    /// Waits until an expression is true.
    pub fn until(&mut self, expression: &str) {
        let started = Instant::now();
        while self.value(&format!("Boolean({expression})")) != true {
            assert!(
                started.elapsed() < PATIENCE,
                "never true: {expression}; complaints: {:?}",
                self.complaints()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Clicks an element at a fraction of its width from its left edge, and returns where that is.
    pub fn click(&mut self, element: &str, fraction: f64) -> Value {
        let position = format!(
            "(() => {{ const element = {element}; element.scrollIntoView({{block: 'center', behavior: 'instant'}}); \
             const box = element.getClientRects()[0]; \
             return [box.left + {fraction} * box.width, box.top + box.height / 2]; }})()"
        );
        let position = self.value(&position);
        let mouse = json!({"type": "mouseMoved", "x": position[0], "y": position[1], "button": "none"});
        self.call("Input.dispatchMouseEvent", mouse);
        self.press_mouse(&position, 1);
        position
    }

    fn press_mouse(&mut self, position: &Value, count: u32) {
        for kind in ["mousePressed", "mouseReleased"] {
            let press = json!({"type": kind, "x": position[0], "y": position[1], "button": "left",
                "clickCount": count});
            self.call("Input.dispatchMouseEvent", press);
        }
    }

    /// Clicks an element twice at a fraction of its width.
    pub fn double_click(&mut self, element: &str, fraction: f64) {
        let position = self.click(element, fraction);
        self.press_mouse(&position, 2);
    }

    pub fn press(&mut self, key: &str, shift: bool) {
        self.chord(key, if shift { SHIFT } else { 0 });
    }

    /// Presses a key together with others, as a keyboard does.
    pub fn chord(&mut self, key: &str, modifiers: u32) {
        let text = match key {
            _ if modifiers & (CONTROL | ALT) != 0 => "",
            "Enter" => "\r",
            key if key.chars().count() == 1 => key,
            _ => "",
        };
        let code = match key {
            "Backspace" => 8,
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowRight" => 39,
            "Delete" => 46,
            _ => 0,
        };
        for kind in [if text.is_empty() { "rawKeyDown" } else { "keyDown" }, "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let press = json!({"type": kind, "key": key, "text": text, "modifiers": modifiers,
                "windowsVirtualKeyCode": code});
            self.call("Input.dispatchKeyEvent", press);
        }
    }

    /// Types a text key by key.
    pub fn type_keys(&mut self, text: &str) {
        text.chars().for_each(|letter| self.press(&letter.to_string(), false));
    }

    /// Returns the errors, warnings and policy violations since the start.
    pub fn complaints(&self) -> Vec<String> {
        let is_complaint = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Log.entryAdded") => event["params"]["entry"]["level"] != "verbose",
            Some("Runtime.consoleAPICalled") => true,
            _ => false,
        };
        self.events.iter().filter(is_complaint).map(|event| event["params"].to_string()).collect()
    }

    /// Returns the URLs requested since the start.
    pub fn requests(&self) -> Vec<String> {
        let sent = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        // It also ends when the pipe closes; in any case it is waited for.
        let _ = self.to.write_all(b"{\"id\": 0, \"method\": \"Browser.close\"}\0");
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(10) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
