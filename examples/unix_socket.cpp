// A hub that listens on a Unix domain socket, for a proxy or a client on the same machine. The
// permissions of the folder determine who may connect. The Transport is in unix_transport.hpp.

#include "unix_transport.hpp"

#include <pushhub/push_hub.hpp>

#include <iostream>
#include <string>
#include <string_view>

int main(int argc, char** argv) {
    const std::string path = argc > 1 ? argv[1] : "pushhub.sock";
    pushhub::PushHub<UnixTransport> hub{pushhub::Options(), path};
    hub.onMessage([&](pushhub::SessionPtr session, std::string_view text) {
        if (text == "stop") {
            hub.stop();
        } else {
            hub.sendAll(session->userId() + ": " + std::string(text));
        }
    });
    hub.start();
    std::cout << "listening on ws+unix:" << path << ":/websocket/{userId}" << std::endl;
    hub.run();
    std::cout << "stopped" << std::endl;
}
