#include <pushhub/pushhub.hpp>
#include <pushhub/transport/loopback_transport.hpp>

int main() {
    pushhub::PushHub<pushhub::LoopbackTransport> hub{pushhub::Options()};
    hub.start();
    const auto client = hub.transport().connect("/websocket/0002");
    hub.transport().poll();

    hub.sendOne("0002", "hello");
    hub.transport().poll();
    return client->takeTexts().size() == 1 ? 0 : 1;
}
