// A room that passes every message on to everybody in it, with Colyseus.
const { Server, Room } = require("@colyseus/core");
const { WebSocketTransport } = require("@colyseus/ws-transport");

class Arena extends Room {
  onCreate() {
    this.autoDispose = false;
    this.onMessage("m", (client, message) => this.broadcast("m", message));
  }
}

const server = new Server({ transport: new WebSocketTransport({}), greet: false });
server.define("arena", Arena);
server.listen(Number(process.argv[2]), "127.0.0.1");
