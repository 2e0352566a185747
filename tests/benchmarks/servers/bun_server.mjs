// Bun's own server; broadcasts go through its publish().
import { dlopen } from "bun:ffi";

import { commands, parseArguments, ready, userOf } from "./commands.mjs";

// Bun counts its clocks from the start of the process; the client compares with CLOCK_MONOTONIC.
const libc = dlopen("libc.so.6", { clock_gettime: { args: ["int", "ptr"], returns: "int" } });
const time = new BigInt64Array(2);
libc.symbols.clock_gettime(1, time);
const sinceBoot = time[0] * 1_000_000_000n + time[1] - process.hrtime.bigint();

const options = parseArguments();
const sockets = new Map();
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: options.port,
  tls: options.tls,
  fetch(request, self) {
    if (self.upgrade(request, { data: { user: userOf(request.url) } })) {
      return undefined;
    }
    return new Response("WebSocket only", { status: 426 });
  },
  websocket: {
    idleTimeout: 0,
    sendPings: false,
    perMessageDeflate: options.deflate && { compress: "shared", decompress: "shared" },
    backpressureLimit: 1 << 30,
    open(socket) {
      sockets.set(socket.data.user, socket);
      socket.subscribe("all");
    },
    message(socket, message) {
      const reply = handle(message);
      if (reply !== undefined) {
        socket.send(reply);
      }
    },
    close(socket) {
      sockets.delete(socket.data.user);
    },
  },
});
const handle = commands(
  {
    users: () => [...sockets.keys()],
    sendAll: (text) => server.publish("all", text, options.deflate),
    sendOne: (user, text) => sockets.get(user)?.send(text, options.deflate),
    sendMore(users, text) {
      for (const user of users) {
        sockets.get(user)?.send(text, options.deflate);
      }
    },
  },
  options.deflate,
  () => process.hrtime.bigint() + sinceBoot,
);
ready(server.port);
