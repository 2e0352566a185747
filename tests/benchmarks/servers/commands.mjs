// The text commands for the JavaScript servers. They have one thread, so the pushes come from its
// timers instead of a business thread.

import { readFileSync } from "node:fs";

/** `tls` is what the servers take as { cert, key }, or undefined. */
export function parseArguments() {
  const options = { port: 9000, tls: undefined, deflate: false };
  const args = process.argv.slice(2);
  for (let i = 0; i < args.length; i++) {
    if (args[i] === "--port") {
      options.port = Number(args[++i]);
    } else if (args[i] === "--threads") {
      i++; // there is one
    } else if (args[i] === "--deflate") {
      options.deflate = true;
    } else if (args[i] === "--tls") {
      options.tls = { cert: readFileSync(args[++i]), key: readFileSync(args[++i]) };
    } else {
      console.error(`not available: ${args[i]}`);
      process.exit(2);
    }
  }
  return options;
}

export function ready(port) {
  console.log(`ready ${port} ${process.pid}`);
}

export function userOf(url) {
  const path = url.split("?", 1)[0];
  return path.slice(path.lastIndexOf("/") + 1);
}

/** See makePayload in support.hpp. */
function makePayload(size, json) {
  if (!json) {
    return "x".repeat(size);
  }
  let text = "";
  let noise = 1n;
  for (let i = 0; text.length < size; i++) {
    noise = BigInt.asUintN(64, noise * 6364136223846793005n + 1442695040888963407n);
    text += `{"symbol":"S${(i * 7919) % 1000}","price":${noise >> 47n}.25,"open":true},`;
  }
  return text.slice(0, size);
}

/**
 * `server` has users(), sendAll(text), sendOne(user, text) and sendMore(users, text); `now` returns
 * CLOCK_MONOTONIC in ns; `json` asks for payloads that compress. Returns handle(text): the reply to
 * send back, or undefined.
 */
export function commands(server, json, now = process.hrtime.bigint) {
  let inbound = 0;

  function pace(rate, seconds, size, push) {
    const begin = now();
    const total = rate * seconds;
    const filler = makePayload(size, json);
    let sent = 0;
    const turn = () => {
      const elapsed = Number(now() - begin) / 1e9;
      const due = Math.min(total, Math.floor(elapsed * rate) + 1);
      for (; sent < due; sent++) {
        const clock = `${now()} `;
        push(sent, clock + filler.slice(clock.length));
      }
      if (sent < total) {
        const wait = (sent / rate - elapsed) * 1000;
        if (wait > 1) {
          setTimeout(turn, wait);
        } else {
          setImmediate(turn);
        }
      }
    };
    turn();
  }

  return (text) => {
    if (text.length === 0 || text[0] === "x") {
      inbound++;
      return undefined;
    }
    if (text === "inbound") {
      return `inbound ${inbound}`;
    }
    const [name, ...rest] = text.split(" ");
    const [a, b, c] = rest.map(Number);
    setImmediate(() => {
      const users = server.users();
      if (name === "burst") {
        const payload = makePayload(b, json);
        for (let i = 0; i < a; i++) {
          server.sendAll(payload);
        }
      } else if (name === "pace") {
        pace(a, b, c, (_, payload) => server.sendAll(payload));
      } else if (name === "one" || name === "multi") {
        const [count, size] = name === "one" ? [a, b] : [b, c];
        const payload = makePayload(size, json);
        for (let i = 0; i < count; i++) {
          server.sendOne(users[i % users.length], payload);
        }
      } else if (name === "paceone") {
        pace(a, b, c, (i, payload) => server.sendOne(users[i % users.length], payload));
      } else if (name === "more") {
        const payload = makePayload(b, json);
        let next = 0;
        for (let i = 0; i < a; i++) {
          const chosen = [];
          for (let j = 0; j < Math.min(c, users.length); j++) {
            chosen.push(users[next++ % users.length]);
          }
          server.sendMore(chosen, payload);
        }
      }
    });
    return undefined;
  };
}
