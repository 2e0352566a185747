// Node's `ws`. NODE_MODULES names the folder that has it, since it is installed outside the tree.
import { createServer } from "node:https";
import { createRequire } from "node:module";

import { commands, parseArguments, ready, userOf } from "./commands.mjs";

const require = createRequire(`${process.env.NODE_MODULES}/`);
const { WebSocketServer } = require("ws");

const options = parseArguments();
const sockets = new Map();
const handle = commands({
  users: () => [...sockets.keys()],
  sendAll(text) {
    for (const socket of sockets.values()) {
      socket.send(text);
    }
  },
  sendOne(user, text) {
    sockets.get(user)?.send(text);
  },
  sendMore(users, text) {
    for (const user of users) {
      sockets.get(user)?.send(text);
    }
  },
}, options.deflate);

const address = { host: "127.0.0.1", port: options.port, backlog: 1024 };
// From the same size on as pushhub; the default is 1024.
const perMessageDeflate = options.deflate && { threshold: 256 };
const https = options.tls && createServer(options.tls);
const server = new WebSocketServer(
  https ? { server: https, perMessageDeflate } : { ...address, perMessageDeflate },
);
https?.listen(address);
server.on("listening", () => ready(server.address().port));
server.on("connection", (socket, request) => {
  const user = userOf(request.url);
  sockets.set(user, socket);
  socket.on("message", (data) => {
    const reply = handle(data.toString());
    if (reply !== undefined) {
      socket.send(reply);
    }
  });
  socket.on("close", () => sockets.delete(user));
  socket.on("error", () => {});
});
