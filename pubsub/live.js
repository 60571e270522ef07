// Live follows topics of package pubsub over one WebSocket, in a browser. It comes back
// by itself, and goes on where it was.
//
//   import { Live } from "/live.js";
//   const live = new Live("/live");
//   const vehicle = live.follow("pos:fleet-7", {
//     message: (m) => {},   // {topic, key, data, at: Date}; data is null when the key was removed
//     snapshot: () => {},   // forget what you know: all that there is follows
//     gap: () => {},        // messages may be missing before the next
//     denied: (why) => {},  // "forbidden", …: it is not followed
//   });
//   live.onstatus = (s) => {};  // {state: "connecting" | "live" | "degraded" | "closed", age: ms, code, reason}
//   vehicle.stop(); live.close();
//
// It says of what is shown that it is old: "degraded", with its age, when the server
// says so, and while it is itself not connected. A close code up to 4499, save 1008 and
// 1009, means to come back; after any other it stays "closed".

const FIRST = 200, LONGEST = 5000; // pauses before coming back, in milliseconds

export class Live {
  #url; #topics = new Map(); #socket = null; #tries = 0; #timer = 0; #watch = 0; #beat = 25000;
  #heard = 0; #ended = false; #seen = Date.now(); #state = "connecting";

  constructor(url) {
    this.#url = new URL(url, location.href);
    this.#url.protocol = this.#url.protocol.replace(/^http/, "ws");
    this.onstatus = null;
    this.#connect();
  }

  get state() { return this.#state; }

  // follow begins to follow a topic. Another call for the same topic replaces the handlers.
  follow(topic, handlers) {
    const entry = { topic, handlers, pos: "" };
    this.#topics.set(topic, entry);
    this.#ask(entry);
    return { stop: () => {
      if (this.#topics.get(topic) !== entry) return;
      this.#topics.delete(topic);
      this.#send({ unsubscribe: topic });
    } };
  }

  close() {
    this.#ended = true;
    this.#drop();
    this.#tell("closed", { code: 1000, reason: "" });
  }

  #connect() {
    clearTimeout(this.#timer);
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#heard = Date.now();
    socket.onopen = () => { for (const entry of this.#topics.values()) this.#ask(entry); };
    socket.onmessage = (e) => {
      this.#heard = Date.now();
      this.#tries = 0;
      for (const event of JSON.parse(e.data)) this.#take(event);
    };
    socket.onclose = (e) => { if (this.#socket === socket) this.#lost(e.code, e.reason); };
    clearInterval(this.#watch);
    // A server that has gone without a word is noticed by its silence.
    this.#watch = setInterval(() => { if (Date.now() - this.#heard > 2 * this.#beat) this.#lost(1006, "silence"); }, 1000);
  }

  #lost(code, reason) {
    this.#drop();
    if (this.#ended) return;
    if (code === 1008 || code === 1009 || code >= 4500 || (code >= 3500 && code < 4000)) {
      this.#ended = true;
      this.#tell("closed", { code, reason });
      return;
    }
    // Half of the pause is drawn, so that those whose server has gone do not all come at once.
    const pause = Math.min(LONGEST, FIRST * 2 ** this.#tries++);
    this.#timer = setTimeout(() => this.#connect(), pause / 2 + Math.random() * pause / 2);
    this.#tell("connecting", { code, reason });
  }

  #drop() {
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    const socket = this.#socket;
    this.#socket = null;
    if (socket) { socket.onopen = socket.onmessage = socket.onclose = null; socket.close(); }
  }

  #ask(entry) { this.#send({ subscribe: entry.topic, since: entry.pos }); }

  #send(wish) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(wish));
  }

  #take(e) {
    switch (e.event) {
      case "hello": this.#beat = e.beat; this.#tell("live", {}); return;
      case "beat": return;
      case "degraded": this.#seen = Date.now() - e.age; this.#tell("degraded", {}); return;
      case "live": this.#tell("live", {}); return;
    }
    const entry = this.#topics.get(e.topic);
    if (!entry) return;
    if (e.pos) entry.pos = e.pos;
    const { message, snapshot, gap, denied } = entry.handlers;
    switch (e.event) {
      case undefined: message?.({ topic: e.topic, key: e.key ?? "", data: e.data, at: new Date(e.at) }); break;
      case "removed": message?.({ topic: e.topic, key: e.key, data: null, at: new Date(e.at) }); break;
      case "snapshot": snapshot?.(); break;
      case "gap": gap?.(); break;
      case "denied":
        if (e.reason === "try again") setTimeout(() => { if (this.#topics.get(e.topic) === entry) this.#ask(entry); }, 1000 + Math.random() * 1000);
        else denied?.(e.reason);
    }
  }

  #tell(state, more) {
    const now = Date.now();
    if (this.#state === "live" && state !== "degraded") this.#seen = this.#heard;
    if (state === "live") this.#seen = now;
    this.#state = state;
    this.onstatus?.({ state, age: state === "live" ? 0 : now - this.#seen, ...more });
  }
}
