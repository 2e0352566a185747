#include <pushhub/pushhub.hpp>

#include <chrono>
#include <iostream>
#include <string>
#include <thread>

int main() {
    pushhub::Options options;
    options.port = 8081;
    options.path = "/websocket/{userId}";
    pushhub::PushHub<> hub{options};
    hub.onMessage([](pushhub::SessionPtr session, std::string_view text) { session->send(text); });
    hub.start();

    std::thread business([&hub] {  // any thread of yours may push
        for (int order = 1; order <= 600; ++order) {
            const auto result = hub.sendOne("0002", "order " + std::to_string(order));
            std::cout << "sessions of 0002 that took it: " << result.accepted << std::endl;
            std::this_thread::sleep_for(std::chrono::seconds(1));
        }
    });
    business.join();
}
