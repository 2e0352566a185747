// One user where a list of users is wanted, and the other way round.
// wrong LITERAL: sendMore takes a range of user ids, and this is one text
// wrong CHAR_ARRAY: sendMore takes a range of user ids, and this is one text
// wrong CHAR_POINTER: sendMore takes a range of user ids, and this is one text
// wrong STRING: sendMore takes a range of user ids, and this is one text
// wrong TEMPORARY_STRING: sendMore takes a range of user ids, and this is one text
// wrong VIEW: sendMore takes a range of user ids, and this is one text
// wrong OWN_TEXT: sendMore takes a range of user ids, and this is one text
// wrong BINARY: sendMore takes a range of user ids, and this is one text
// wrong NO_RANGE: sendMore takes a range of user ids, and this is no range
// wrong OPTIONAL_USER: sendMore takes a range of user ids, and this is no range
// wrong NUMBERS: the elements of this one convert neither to
// wrong CHARACTERS: the elements of this one convert neither to
// wrong OPTIONALS: the elements of this one convert neither to
// wrong PAIRS: the elements of this one convert neither to
// wrong TWO_ITERATORS: no match
// wrong SEND_ONE: use of deleted|call to deleted
// wrong SEND_ONE_BINARY: use of deleted|call to deleted
// wrong SEND_ALL_EXCEPT: use of deleted|call to deleted
// wrong SEND_ALL_EXCEPT_BINARY: use of deleted|call to deleted
// wrong DISCONNECT: use of deleted|call to deleted

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <pushhub/push_hub.hpp>
#include <pushhub/transport/loopback_transport.hpp>

namespace {

struct Name {
    std::string text;
    operator std::string_view() const { return text; }
    const char* begin() const { return text.data(); }
    const char* end() const { return text.data() + text.size(); }
};

}  // namespace

void useHub();

void useHub() {
    pushhub::PushHub<pushhub::LoopbackTransport> hub{pushhub::Options()};
    char array[] = "0001";
    const char* pointer = array;
    std::string string = array;
    const std::string_view view = string;
    const Name name{string};
    const std::vector<std::optional<std::string>> optionals;
    const std::optional<std::string> optional;
    const std::vector<int> numbers;
    const std::vector<char> characters;
    const std::map<std::string, int> pairs;
    hub.sendMore({pointer}, "text");
    hub.sendMore({"0001", string, view, name}, "text");
    hub.sendOne({array, 2}, "text");
#if defined(LITERAL)
    hub.sendMore("0001", "text");
#elif defined(CHAR_ARRAY)
    hub.sendMore(array, "text");
#elif defined(CHAR_POINTER)
    hub.sendMore(pointer, "text");
#elif defined(STRING)
    hub.sendMore(string, "text");
#elif defined(TEMPORARY_STRING)
    hub.sendMore(std::to_string(1), "text");
#elif defined(VIEW)
    hub.sendMore(view.substr(0, 2), "text");
#elif defined(OWN_TEXT)
    hub.sendMore(name, "text");
#elif defined(BINARY)
    hub.sendMoreBinary("0001", "bytes");
#elif defined(NO_RANGE)
    hub.sendMore(1, "text");
#elif defined(OPTIONAL_USER)
    hub.sendMore(optional, "text");
#elif defined(NUMBERS)
    hub.sendMore(numbers, "text");
#elif defined(CHARACTERS)
    hub.sendMore(characters, "text");
#elif defined(OPTIONALS)
    hub.sendMore(optionals, "text");
#elif defined(PAIRS)
    hub.sendMoreBinary(pairs, "bytes");
#elif defined(TWO_ITERATORS)
    hub.sendMore({{"0001", "0002"}}, "text");
#elif defined(SEND_ONE)
    hub.sendOne({"0001", "0002"}, "text");
#elif defined(SEND_ONE_BINARY)
    hub.sendOneBinary({"0001", "0002"}, "bytes");
#elif defined(SEND_ALL_EXCEPT)
    hub.sendAllExcept({"0001", "0002"}, "text");
#elif defined(SEND_ALL_EXCEPT_BINARY)
    hub.sendAllExceptBinary({"0001", "0002"}, "bytes");
#elif defined(DISCONNECT)
    hub.disconnect({"0001", "0002"});
#endif
}
