// What a compiler may leave out, and what not.
// right -fno-rtti
// wrong -fno-exceptions -Wfatal-errors: pushhub needs exceptions

#include <pushhub/pushhub.hpp>

void useHub();

void useHub() {
    pushhub::PushHub<> hub{pushhub::Options()};
    hub.start();
    hub.sendAll("text");
    hub.stop();
}
