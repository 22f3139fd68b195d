// A relay with socket.io, as excalidraw-room uses it: an encrypted drawing and its initialisation
// vector, two binary attachments, to everybody else in a room.
const { Server } = require("socket.io");

const server = new Server(+process.argv[2], { transports: ["websocket"] });
server.on("connection", (socket) => {
  socket.on("join-room", (room) => socket.join(room));
  socket.on("server-broadcast", (room, data, iv) =>
    socket.broadcast.to(room).emit("client-broadcast", data, iv));
});
