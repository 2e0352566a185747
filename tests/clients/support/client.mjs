// A WebSocket client on the package `ws` whose messages are taken one by one.

import { once } from 'node:events';
import { WebSocket } from 'ws';
import { Inbox, within } from './server.mjs';

export class Client {
  // An open connection, which is cut when the test `t` ends.
  static async open(t, url, options = {}) {
    const client = new Client(new WebSocket(url, options));
    t.after(() => client.socket.terminate());
    await within(once(client.socket, 'open'), `${url} is open`);
    return client;
  }

  messages = new Inbox();

  constructor(socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => {
        resolve({ code, reason: reason.toString() });
        this.messages.finish(`the connection was closed, ${code} ${reason}`);
      });
    });
    socket.on('message', (data, isBinary) => {
      this.messages.put(isBinary ? data : data.toString());
    });
    socket.on('error', () => {});  // told by 'close' as well
  }

  // A text as a string, a binary message as a Buffer.
  next() {
    return this.messages.take('a message');
  }

  // Everything up to and with this message.
  async upTo(last) {
    const received = [];
    do {
      received.push(await this.next());
    } while (received.at(-1) !== last);
    return received;
  }

  send(data, options = {}) {
    this.socket.send(data, options);
  }

  async close(code = 1000, reason = '') {
    this.socket.close(code, reason);
    return within(this.closed, 'the close is answered');
  }

  whenClosed() {
    return within(this.closed, 'the server closes');
  }
}

// The status of the response to a handshake that is refused.
export async function refusedStatus(url, options = {}) {
  const socket = new WebSocket(url, options);
  socket.on('error', () => {});
  try {
    const outcome = await within(Promise.race([
      once(socket, 'unexpected-response').then(([, response]) => {
        response.resume();
        return response.statusCode;
      }),
      once(socket, 'open').then(() => { throw new Error(`${url} was accepted`); }),
    ]), `${url} is answered`);
    return outcome;
  } finally {
    socket.terminate();
  }
}
