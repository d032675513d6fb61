//! A browser that a test leads by the hand, over Chromium's debugging pipe: pages that run no script can be gone through
//! like that too, with the mouse.

use crate::{PATIENCE, program, set_up};
use acceptance::wait::eventually;
use serde_json::{Value, json};
use std::{path::Path, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
};

/// The pipe is on descriptors 3 and 4.
const ON_THE_PIPE: &str = r#"exec "$0" "$@" --remote-debugging-pipe 3<&0 4>&1 </dev/null >/dev/null"#;

/// One page of a browser.
pub struct Page {
    _browser: Child,
    pipe: Mutex<Pipe>,
    session: Value,
}

struct Pipe {
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    last: u64,
}

impl Page {
    pub async fn open(address: &str, folder: &Path) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", ON_THE_PIPE, &program()]);
        set_up(&mut command, folder);
        let mut browser = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromium starts: apt-get install chromium (make test does)");
        let (commands, answers) = (browser.stdin.take().unwrap(), BufReader::new(browser.stdout.take().unwrap()));
        let pipe = Mutex::new(Pipe { commands, answers, last: 0 });
        let mut page = Self { _browser: browser, pipe, session: Value::Null };
        let target = page.ask("Target.createTarget", json!({"url": address})).await.unwrap();
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        page.session = page.ask("Target.attachToTarget", attach).await.unwrap()["sessionId"].clone();
        // Without a window nothing ever has the focus.
        page.ask("Emulation.setFocusEmulationEnabled", json!({"enabled": true})).await.unwrap();
        page
    }

    /// Sends a command; its result, or what was wrong.
    async fn ask(&self, method: &str, params: Value) -> Result<Value, Value> {
        let mut pipe = self.pipe.lock().await;
        pipe.last += 1;
        let mut command = json!({"id": pipe.last, "method": method, "params": params});
        if !self.session.is_null() {
            command["sessionId"] = self.session.clone();
        }
        pipe.commands.write_all(format!("{command}\0").as_bytes()).await.expect("chromium listens");
        let answer = tokio::time::timeout(PATIENCE, pipe.answer()).await.expect("chromium answers in time");
        if answer["error"].is_null() { Ok(answer["result"].clone()) } else { Err(answer["error"].clone()) }
    }

    /// What an expression comes to on the page that is there now; `None` while there is none, or it is changing.
    async fn value(&self, expression: &str) -> Option<Value> {
        let params = json!({"expression": expression, "returnByValue": true});
        let answer = self.ask("Runtime.evaluate", params).await.ok()?;
        answer["result"].get("value").filter(|value| !value.is_null()).cloned()
    }

    /// Waits until an expression is true on the page.
    pub async fn until(&self, expression: &str) {
        let truth = format!("({expression}) ? true : null");
        eventually(&format!("{expression} on the page"), || self.value(&truth)).await;
    }

    /// What an expression comes to, once that is something.
    pub async fn evaluate(&self, expression: &str) -> Value {
        eventually(&format!("{expression} on the page"), || self.value(expression)).await
    }

    /// Writes where the focus is.
    pub async fn write(&self, text: &str) {
        self.ask("Input.insertText", json!({"text": text})).await.unwrap();
    }

    /// Presses a key: Tab, Enter or Escape.
    pub async fn press(&self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            other => panic!("{other} is no key that is known here"),
        };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
            self.ask("Input.dispatchKeyEvent", event).await.unwrap();
        }
    }

    /// Presses Tab until an element has the focus, as somebody without a mouse does.
    pub async fn tab_to(&self, selector: &str) {
        /// More stops than the longest page has.
        const STOPS: usize = 150;
        self.until(&format!("document.querySelector({selector:?})")).await;
        let is_there = format!("document.activeElement.matches({selector:?}) ? true : null");
        for _ in 0..STOPS {
            if self.value(&is_there).await.is_some() {
                return;
            }
            self.press("Tab").await;
        }
        panic!("{selector} is not reached by Tab");
    }

    /// How large the window is, and in which colours it is seen.
    pub async fn look_like(&self, (width, height): (u32, u32), scheme: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.ask("Emulation.setDeviceMetricsOverride", size).await.unwrap();
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.ask("Emulation.setEmulatedMedia", features).await.unwrap();
    }

    /// A picture of the window, as PNG in base64.
    pub async fn picture(&self) -> String {
        let shot = self.ask("Page.captureScreenshot", json!({"format": "png"})).await.unwrap();
        shot["data"].as_str().unwrap().to_owned()
    }

    /// The text of an element, once it is there.
    pub async fn text(&self, selector: &str) -> String {
        let expression = format!("document.querySelector({selector:?})?.textContent");
        let value = eventually(&format!("{selector} on the page"), || self.value(&expression)).await;
        value.as_str().unwrap().to_owned()
    }

    /// Clicks the middle of an element.
    pub async fn click(&self, selector: &str) {
        let place = format!(
            "(() => {{ const element = document.querySelector({selector:?}); \
             element?.scrollIntoView({{block: 'nearest', behavior: 'instant'}}); const box = element?.getBoundingClientRect(); \
             return box && [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        );
        let place = eventually(&format!("{selector} on the page"), || self.value(&place)).await;
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1});
            self.ask("Input.dispatchMouseEvent", event).await.unwrap();
        }
    }
}

impl Pipe {
    /// The answer to the last command; what is told beside it is passed over.
    async fn answer(&mut self) -> Value {
        loop {
            let mut message = Vec::new();
            self.answers.read_until(0, &mut message).await.expect("chromium speaks");
            assert_eq!(message.pop(), Some(0), "chromium has ended");
            let message: Value = serde_json::from_slice(&message).unwrap();
            if message["id"] == self.last {
                return message;
            }
        }
    }
}
