// All ways in which a client can authenticate, each on its own path; docs/authentication.md says
// when to use which. Open http://127.0.0.1:8081/ to try them.

#include <pushhub/auth/auth.hpp>
#include <pushhub/pushhub.hpp>

#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>

namespace auth = pushhub::auth;

namespace {

// A real service looks up the token, or checks its signature as in jwt_auth.cpp.
constexpr std::string_view tokenStart = "demo-token-of-";

std::optional<auth::Identity> checkToken(const std::string& token) {
    if (token.compare(0, tokenStart.size(), tokenStart) != 0) {
        return std::nullopt;
    }
    return auth::Identity{token.substr(tokenStart.size())};
}

constexpr const char* page = R"(<!doctype html>
<meta charset="utf-8">
<title>pushhub: authentication</title>
<p>Token <input id="token" value="demo-token-of-0001" size="30"> of user <input id="user" value="0001">
<p><button data-way="query">query</button> <button data-way="subprotocol">subprotocol</button>
<button data-way="login">log in: cookie</button> <button data-way="cookie">cookie</button>
<button data-way="ticket">ticket</button> <button data-way="first">first message</button>
<pre id="log"></pre>
<script>
const base = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}`;
const base64url = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)))
  .replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');

// Resolves to "open: GREETING" or "closed: CODE REASON".
function connect(path, protocols = [], first) {
  return new Promise((resolve) => {
    const socket = new WebSocket(base + path, protocols);
    socket.onopen = () => { if (first !== undefined) socket.send(first); };
    socket.onmessage = (event) => { resolve(`open: ${event.data}`); socket.close(); };
    socket.onclose = (event) => resolve(`closed: ${event.code} ${event.reason}`);
  });
}
const ways = {
  query: (user, token) => connect(`/websocket/${user}?token=${encodeURIComponent(token)}`),
  subprotocol: (user, token) =>
    connect(`/websocket/${user}`, ['pushhub', `bearer.${base64url(token)}`]),
  login: async (user) => `status ${(await fetch(`/login?user=${user}`)).status}`,
  cookie: (user) => connect(`/websocket/${user}`),
  ticket: async (user) => {
    const response = await fetch('/ticket');
    return response.ok ? connect(`/ticket/${user}?ticket=${await response.text()}`)
                       : `status ${response.status}`;
  },
  first: (user, token) => connect(`/first/${user}`, [], token),
};
for (const button of document.querySelectorAll('button')) {
  button.onclick = async () => {
    const way = button.dataset.way;
    const result = await ways[way](document.getElementById('user').value,
                                   document.getElementById('token').value);
    document.getElementById('log').append(`${way}: ${result}\n`);
  };
}
</script>
)";

void serve(std::uint16_t port) {
    auth::TicketOffice office;
    pushhub::Options options;
    options.port = port;
    options.closeInsteadOfStatus = true;  // so that the page can tell why
    pushhub::PushHub<> hub{options};
    options.path = "/ticket/{userId}";
    pushhub::PushHub<> ticketHub{hub, options};
    options.path = "/first/{userId}";
    pushhub::PushHub<> firstMessageHub{hub, options};

    hub.onHandshake(
        auth::Authenticator({auth::bearerHeader(), auth::queryToken("token"),
                             auth::subprotocolToken("pushhub"), auth::cookieToken("session")},
                            &checkToken));
    ticketHub.onHandshake(
        auth::Authenticator({auth::queryToken("ticket")}, auth::ticketCheck(office)));
    firstMessageHub.onFirstMessage(auth::firstMessage(&checkToken));

    for (pushhub::PushHub<>* each : {&hub, &ticketHub, &firstMessageHub}) {
        each->onOpen([](pushhub::SessionPtr s) { s->send("hello, user " + s->userId()); });
    }

    hub.onHttp([&](const pushhub::HttpRequest& request) -> std::optional<pushhub::HttpResponse> {
        if (request.path() == "/") {
            return pushhub::HttpResponse{200, page, "text/html; charset=utf-8"};
        }
        if (request.path() == "/login") {  // believes the name: a real one asks for a password
            const std::string token = std::string(tokenStart) + request.query("user").value_or("");
            return pushhub::HttpResponse{
                204,
                "",
                "",
                {{"Set-Cookie", "session=" + token + "; HttpOnly; SameSite=Strict; Path=/"}}};
        }
        if (request.path() == "/ticket") {
            const auto identity = checkToken(request.cookie("session").value_or(""));
            if (!identity || identity->userId.empty()) {
                return pushhub::HttpResponse{401, "log in first\n"};
            }
            return pushhub::HttpResponse{
                200, office.issue(identity->userId), "text/plain", {{"Cache-Control", "no-store"}}};
        }
        return std::nullopt;
    });

    firstMessageHub.start();
    ticketHub.start();
    hub.start();
    std::cout << "listening on ws://" << options.address << ':' << hub.port() << "/" << std::endl;
    hub.run();
}

}  // namespace

int main(int argc, char** argv) {
    try {
        serve(static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 8081));
        return 0;
    } catch (const std::exception& error) {
        std::cerr << "authentication: " << error.what() << '\n';
        return 1;
    }
}
