// A unit test of order_desk.hpp: the hub is real, its connections are in memory. No sockets, no
// threads, no waiting. Any test framework will do; this test uses none.

#include "order_desk.hpp"

#include <pushhub/transport/loopback_transport.hpp>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using Hub = pushhub::PushHub<pushhub::LoopbackTransport>;
using Texts = std::vector<std::string>;

void check(bool good, const char* what) {
    if (!good) {
        std::cerr << "FAILED: " << what << '\n';
        std::exit(1);
    }
}

struct Service {
    Hub hub{pushhub::Options()};
    OrderDesk<Hub> desk{hub};

    Service() { hub.start(); }

    std::shared_ptr<pushhub::LoopbackClient> openTab(const std::string& user) {
        auto tab = hub.transport().connect("/websocket/" + user);
        hub.transport().poll();  // nothing happens but here
        check(tab->status() == 101, "a tab may connect");
        return tab;
    }

    Texts seen(pushhub::LoopbackClient& tab) {
        hub.transport().poll();
        return tab.takeTexts();
    }
};

void anOrderIsSeenInAllTabsOfItsUser() {
    Service service;
    const auto first = service.openTab("ann");
    const auto second = service.openTab("ann");
    const auto other = service.openTab("ben");
    first->send("buy ABC");
    check(service.seen(*first) == Texts{"ordered ABC"}, "the tab that ordered");
    check(service.seen(*second) == Texts{"ordered ABC"}, "the other tab");
    check(service.seen(*other).empty(), "another user's tab");
}

void whoWasAwayIsToldLater() {
    Service service;
    service.desk.filled("ann", "ABC");
    const auto tab = service.openTab("ann");
    check(service.seen(*tab) == Texts{"filled ABC"}, "the first tab is told");
    check(service.seen(*service.openTab("ann")).empty(), "once");
}

void aClientThatVanishedIsNoticed() {
    Service service;
    const auto tab = service.openTab("ann");
    tab->setReading(false);                                     // it answers no ping any more
    service.hub.transport().advance(std::chrono::seconds(41));  // 30 s to the ping, 10 s for it
    check(!service.hub.isOnline("ann"), "the session has ended");
    service.desk.filled("ann", "ABC");
    check(service.seen(*service.openTab("ann")) == Texts{"filled ABC"}, "and nothing is lost");
}

void whoIsJustClosingIsToldLater() {
    Service service;
    auto& transport = service.hub.transport();
    const auto lost = service.openTab("ann");
    lost->setReading(false, 0);                  // a phone in a tunnel
    service.hub.sessions("ann")[0]->close();     // it cannot even take the close frame
    service.desk.filled("ann", "ABC");           // not offline, and nobody takes it
    transport.advance(std::chrono::seconds(6));  // closeTimeout
    check(service.seen(*service.openTab("ann")) == Texts{"filled ABC"}, "the next tab is told");
}

// A hub that lets a user connect right after it has found no session.
struct LateHub {
    Hub& hub;
    std::function<void()> connect;

    template <class Hook>
    void onMessage(Hook hook) {
        hub.onMessage(std::move(hook));
    }
    template <class Hook>
    void onOpen(Hook hook) {
        hub.onOpen(std::move(hook));
    }
    pushhub::SendResult sendOne(std::string_view user, std::string_view text) {
        const pushhub::SendResult result = hub.sendOne(user, text);
        if (connect) {
            std::exchange(connect, nullptr)();
        }
        return result;
    }
};

void whoIsJustConnectingIsToldOnce() {
    Hub hub{pushhub::Options()};
    LateHub late{hub, nullptr};
    OrderDesk<LateHub> desk{late};
    hub.start();
    std::shared_ptr<pushhub::LoopbackClient> tab;
    late.connect = [&] {
        tab = hub.transport().connect("/websocket/ann");
        hub.transport().poll();
    };
    desk.filled("ann", "ABC");
    hub.transport().poll();
    check(tab->takeTexts() == Texts{"filled ABC"}, "the tab that has just opened is told");
    tab->close();
    tab = hub.transport().connect("/websocket/ann");
    hub.transport().poll();
    check(tab->takeTexts().empty(), "once");
}

}  // namespace

int main() {
    anOrderIsSeenInAllTabsOfItsUser();
    whoWasAwayIsToldLater();
    aClientThatVanishedIsNoticed();
    whoIsJustClosingIsToldLater();
    whoIsJustConnectingIsToldOnce();
    std::cout << "passed\n";
}
