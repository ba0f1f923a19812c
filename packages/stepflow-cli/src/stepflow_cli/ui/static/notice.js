// The line at the top that says what is wrong with the connection.

const notice = document.getElementById("notice");

export function say(words, isGood = false) {
  notice.classList.toggle("good", isGood);
  if (notice.textContent !== words) notice.textContent = words;
}
