// The service worker: shows what Rondo pushes, and opens its page when it is clicked.
//
// A push carries one JSON object; what it does not have is left out:
//   msg_id, alert, title, url, icon, image, extras, buttons [{id, text, icon, url}], message {msg_content, title,
//   extras}, custom_args

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => {
  const push = event.data ? event.data.json() : {};
  // Browsers want every push shown: subscriptions are made with `userVisibleOnly`.
  event.waitUntil(Promise.all([show(push), tellPages(push)]));
});

function show(push) {
  const message = push.message || {};
  const said = push.alert || message.msg_content || "";
  const buttons = push.buttons || [];
  return self.registration.showNotification(push.title || message.title || "Rondo", {
    body: typeof said === "string" ? said : JSON.stringify(said),
    icon: push.icon,
    image: push.image,
    // A push that comes twice, after a crash, replaces itself.
    tag: push.msg_id,
    actions: buttons.map((button) => ({ action: button.id, title: button.text, icon: button.icon })),
    data: { url: push.url, buttons },
  });
}

async function tellPages(push) {
  for (const page of await self.clients.matchAll({ includeUncontrolled: true })) {
    page.postMessage(push);
  }
}

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const { url, buttons } = event.notification.data;
  const button = buttons.find((one) => one.id === event.action);
  const target = (button && button.url) || url;
  // Only web pages: a push that names anything else opens nothing.
  if (target && /^https?:$/.test(new URL(target, self.location.href).protocol)) {
    event.waitUntil(self.clients.openWindow(target));
  }
});
