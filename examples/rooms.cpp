// Rooms: groups that sessions join and leave, on top of the data that hangs on a session. A client
// says "join ROOM", "leave ROOM", or "say ROOM TEXT", which goes to everybody in the room.

#include <pushhub/pushhub.hpp>

#include <cstddef>
#include <cstdint>
#include <iostream>
#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

namespace {

class Rooms {
public:
    // From any thread. The number of sessions that accepted the text.
    std::size_t send(const std::string& room, std::string_view text) const {
        std::set<pushhub::SessionPtr> members;
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            const auto found = rooms_.find(room);
            members = found == rooms_.end() ? members : found->second;
        }
        std::size_t accepted = 0;
        for (const pushhub::SessionPtr& session : members) {
            accepted += session->send(text).accepted;
        }
        return accepted;
    }

    // In hooks of the session only: they never overlap, so its own list of rooms needs no guard.

    void open(const pushhub::SessionPtr& session) { session->emplaceData<Names>(); }

    void join(const pushhub::SessionPtr& session, const std::string& room) {
        Names& names = *session->data<Names>();
        if (names.size() >= 100) {  // whatever a client can make grow has a limit
            session->send("you are in too many rooms");
            return;
        }
        names.insert(room);
        const std::lock_guard<std::mutex> lock(mutex_);
        rooms_[room].insert(session);
    }

    void leave(const pushhub::SessionPtr& session, const std::string& room) {
        session->data<Names>()->erase(room);
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto found = rooms_.find(room);
        if (found != rooms_.end() && found->second.erase(session) > 0 && found->second.empty()) {
            rooms_.erase(found);
        }
    }

    void close(const pushhub::SessionPtr& session) {
        for (const std::string& room : Names(*session->data<Names>())) {
            leave(session, room);
        }
    }

private:
    using Names = std::set<std::string>;

    mutable std::mutex mutex_;
    std::map<std::string, std::set<pushhub::SessionPtr>> rooms_;
};

void onText(Rooms& rooms, const pushhub::SessionPtr& session, std::string_view text) {
    std::istringstream words{std::string(text)};
    std::string verb;
    std::string room;
    words >> verb >> room >> std::ws;
    const std::string rest(std::istreambuf_iterator<char>(words), {});
    if (verb == "join" && !room.empty()) {
        rooms.join(session, room);
    } else if (verb == "leave") {
        rooms.leave(session, room);
    } else if (verb == "say") {
        rooms.send(room, room + ", " + session->userId() + ": " + rest);
    } else {
        session->send("join ROOM, leave ROOM, or say ROOM TEXT");
    }
}

}  // namespace

int main(int argc, char** argv) {
    Rooms rooms;  // before the hub, whose hooks refer to it
    pushhub::Options options;
    options.port = argc > 1 ? static_cast<std::uint16_t>(std::stoul(argv[1])) : 8081;
    pushhub::PushHub<> hub{options};
    hub.onOpen([&](pushhub::SessionPtr session) { rooms.open(session); });
    hub.onMessage(
        [&](pushhub::SessionPtr session, std::string_view text) { onText(rooms, session, text); });
    hub.onClose([&](pushhub::SessionPtr session, pushhub::CloseInfo) { rooms.close(session); });
    hub.start();
    std::cout << "listening on ws://127.0.0.1:" << hub.port() << "/websocket/{userId}" << std::endl;
    hub.run();
}
