// Pushes a message to a client in memory.

#include <iostream>
#include <string>
#include <vector>

#include <pushhub/pushhub.hpp>
#include <pushhub/transport/loopback_transport.hpp>

int main() {
    pushhub::PushHub<pushhub::LoopbackTransport> hub{pushhub::Options()};
    hub.start();
    const auto client = hub.transport().connect("/websocket/0002");
    hub.transport().poll();

    hub.sendOne("0002", "hello");
    hub.transport().poll();
    const std::vector<std::string> texts = client->takeTexts();
    std::cout << "pushhub " << pushhub::version << " pushed " << texts.size() << " message\n";
    return texts == std::vector<std::string>{"hello"} ? 0 : 1;
}
