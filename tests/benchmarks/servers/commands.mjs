// The text commands for the JavaScript servers. They have one thread, so the pushes come from its
// timers instead of a business thread.

export function parseArguments() {
  const options = { port: 9000 };
  const args = process.argv.slice(2);
  for (let i = 0; i + 1 < args.length; i += 2) {
    if (args[i] === "--port") {
      options.port = Number(args[i + 1]);
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

/**
 * `server` has users(), sendAll(text), sendOne(user, text) and sendMore(users, text); `now` returns
 * CLOCK_MONOTONIC in ns. Returns handle(text): the reply to send back, or undefined.
 */
export function commands(server, now = process.hrtime.bigint) {
  let inbound = 0;

  function pace(rate, seconds, size, push) {
    const begin = now();
    const total = rate * seconds;
    let sent = 0;
    const turn = () => {
      const elapsed = Number(now() - begin) / 1e9;
      const due = Math.min(total, Math.floor(elapsed * rate) + 1);
      for (; sent < due; sent++) {
        push(sent, `${now()} `.padEnd(size, "x"));
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
        const payload = "x".repeat(b);
        for (let i = 0; i < a; i++) {
          server.sendAll(payload);
        }
      } else if (name === "pace") {
        pace(a, b, c, (_, payload) => server.sendAll(payload));
      } else if (name === "one" || name === "multi") {
        const [count, size] = name === "one" ? [a, b] : [b, c];
        const payload = "x".repeat(size);
        for (let i = 0; i < count; i++) {
          server.sendOne(users[i % users.length], payload);
        }
      } else if (name === "paceone") {
        pace(a, b, c, (i, payload) => server.sendOne(users[i % users.length], payload));
      } else if (name === "more") {
        const payload = "x".repeat(b);
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
